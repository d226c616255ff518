"""What every spec is made of: the base class, whose errors name the field, and the types of fields that several share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from airflow_ml_provider.core.errors import SpecError

_MEMORY = re.compile(r"(\d+)\s*([kmgt])(?:i?b)?", re.IGNORECASE)
_NUMBER = re.compile(r"\s*\d+(\.\d+)?\s*")
_UNIT_MIB = {"k": 1 / 1024, "m": 1, "g": 1024, "t": 1024 * 1024}


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


def _rendered_seconds(value: Any) -> Any:
    """A number of seconds may come from a template, which renders to text."""
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


Memory = Annotated[str, AfterValidator(_is_memory)]
Seconds = Annotated[timedelta, BeforeValidator(_rendered_seconds), Field(gt=timedelta(0))]


class Spec(BaseModel):
    """Base of every spec. A wrong field raises :class:`SpecError`, which names it, what it got and what it takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise SpecError(*_problems(type(self), error)) from None


def _problems(spec: type[Spec], error: ValidationError) -> list[str]:
    return [sentence for item in error.errors() for sentence in _problem(spec, item)]


def _problem(spec: type[Spec], item: Mapping[str, Any]) -> list[str]:
    where = ".".join([spec.__name__, *(str(part) for part in item["loc"])])
    nested = item.get("ctx", {}).get("error")
    if isinstance(nested, SpecError):
        return [f"{where}: {problem}" for problem in nested.problems]
    if item["type"] == "extra_forbidden":
        return [f"{where}: no such field. {_suggestion(str(item['loc'][-1]), list(spec.model_fields))}"]
    if item["type"] == "missing":
        return [f"{where}: is required"]
    message = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:
        return [f"{where}: {message}"]
    return [f"{where}: got {item['input']!r}: {message}"]


def _suggestion(name: str, fields: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, fields, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"The fields are {', '.join(fields)}."


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` laid on it, mappings merged key by key and everything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
