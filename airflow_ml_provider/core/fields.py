"""What every spec is made of: the base class, whose errors name the field, and the types of fields that several share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import core_schema

from airflow_ml_provider.core.errors import SpecError

_LOGIN = re.compile(r"(?<=://)[^/\s@]+@")
_MEMORY = re.compile(r"(\d+)\s*([kmgt])(?:i?b)?", re.IGNORECASE)
_NUMBER = re.compile(r"\s*\d+(\.\d+)?\s*")
_DURATION = re.compile(
    r"\s*(?:(?P<days>\d+)\s*d)?\s*(?:(?P<hours>\d+)\s*h)?\s*(?:(?P<minutes>\d+)\s*m)?\s*(?:(?P<seconds>\d+)\s*s)?\s*"
)
_UNIT_MIB = {"k": 1 / 1024, "m": 1, "g": 1024, "t": 1024 * 1024}


def without_logins(text: str) -> str:
    """The text without the user names and passwords of the URLs in it."""
    return _LOGIN.sub("", text)


def memory_mib(text: str) -> int:
    """Size in MiB of a JVM-style size such as ``512m`` or ``4g``."""
    match = _MEMORY.fullmatch(text.strip())
    if not match:
        raise ValueError("takes a size with a unit, such as 512m or 4g")
    return int(int(match[1]) * _UNIT_MIB[match[2].lower()])


def _is_memory(text: str) -> str:
    if memory_mib(text) < 1:
        raise ValueError("takes at least 1m")
    return text.strip().lower()


def _duration(value: Any) -> Any:
    """Texts such as ``10m``, ``1h 30m`` and ``2d``; a number of seconds may come from a template, which renders to text."""
    if not isinstance(value, str):
        return value
    if _NUMBER.fullmatch(value):
        return float(value)
    found = _DURATION.fullmatch(value) if value.strip() else None
    return timedelta(**{unit: int(count) for unit, count in found.groupdict(default="0").items()}) if found else value


Memory = Annotated[str, AfterValidator(_is_memory)]
Seconds = Annotated[timedelta, BeforeValidator(_duration), Field(gt=timedelta(0))]


class Spec(BaseModel):
    """Base of every spec. A wrong field raises :class:`SpecError`, which names it, what it got and what it takes.

    Pydantic builds a spec when it is first used, not when it is imported: a DAG file uses few of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, defer_build=True)

    def __init__(self, **data: Any) -> None:
        if problems := [f"{type(self).__name__}.{problem}" for name, value in data.items() for problem in _bytes_in(name, value)]:
            raise SpecError(*problems)
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise SpecError(*_problems(type(self), error)) from None


def _bytes_in(where: str, value: Any) -> Iterator[str]:
    """A problem for each value of bytes. Pydantic takes them for text, or for a list of numbers."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        yield f"{where}: got {bytes(value[:40])!r}: expected text: decode the bytes first"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _bytes_in(f"{where}.{key}", item)
    elif isinstance(value, (list, tuple)):
        for at, item in enumerate(value):
            yield from _bytes_in(f"{where}.{at}", item)


class OneOf:
    """Marks a field that holds one of several specs, told apart by ``kind``. Pydantic's own union builds each of them."""

    def __init__(self, *specs: type[Spec], from_text: Callable[[str], Mapping[str, Any]] | None = None) -> None:
        """:param from_text: the fields that a text in the place of a spec stands for."""
        self.specs = {spec.model_fields["kind"].default: spec for spec in specs}
        self.from_text = from_text

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._pick)

    def _pick(self, value: Any) -> Spec:
        if self.from_text and isinstance(value, str):
            value = self.from_text(value)
        if isinstance(value, Spec) and type(value) in self.specs.values():
            return value
        if not isinstance(value, Mapping) or value.get("kind") not in self.specs:
            raise ValueError(f"takes a field kind with one of {', '.join(map(repr, self.specs))}")
        return self.specs[value["kind"]](**value)


def _problems(spec: type[Spec], error: ValidationError) -> list[str]:
    return [sentence for item in error.errors() for sentence in _problem(spec, item)]


def _problem(spec: type[Spec], item: Mapping[str, Any]) -> list[str]:
    where = ".".join([spec.__name__, *(str(part) for part in item["loc"])])
    nested = item.get("ctx", {}).get("error")
    if isinstance(nested, SpecError):
        return [f"{where}: {problem}" for problem in nested.problems]
    if item["type"] == "extra_forbidden":
        return [no_such_field(where, str(item["loc"][-1]), list(spec.model_fields))]
    if item["type"] == "missing":
        return [f"{where}: is required"]
    message = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:
        return [f"{where}: {message}"]
    return [f"{where}: got {without_logins(repr(item['input']))}: {message}"]


def no_such_field(where: str, name: str, fields: Sequence[str]) -> str:
    """The problem with a field that does not exist, and the one that was probably meant."""
    import difflib

    close = difflib.get_close_matches(name, fields, n=1)
    return f"{where}: no such field. " + (f"Did you mean {close[0]!r}?" if close else f"The fields are {', '.join(fields)}.")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` laid on it, mappings merged key by key and everything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
