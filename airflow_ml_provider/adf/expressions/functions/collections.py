"""Functions of arrays, objects, and strings as series of characters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions.dotnet.json import LONGEST
from airflow_ml_provider.adf.expressions.dotnet.numbers import type_name
from airflow_ml_provider.adf.expressions.functions.logic import same
from airflow_ml_provider.adf.expressions.functions.signature import Table
from airflow_ml_provider.adf.expressions.functions.words import characters, to_text, units, write

FUNCTIONS = Table()


@FUNCTIONS.add("contains", "holder", "any")
def contains(holder: Any, value: Any) -> bool:
    """A value in an array, a key (in any capitals) in an object, a part in a string."""
    if isinstance(holder, list):
        return any(same(one, value) for one in holder)
    if not isinstance(value, str):
        raise EvaluationError(f"argument 2: got a value of type {type_name(value)}: takes a String, for {type_name(holder)}")
    return value in holder if isinstance(holder, str) else value.casefold() in {key.casefold() for key in holder}


@FUNCTIONS.add("empty", "any")
def empty(value: Any) -> bool:
    if value is not None and not isinstance(value, (str, list, dict)):
        raise EvaluationError(f"argument 1: got a value of type {type_name(value)}: takes Array, Object or String")
    return not value


@FUNCTIONS.add("first", "series")
def first(series: Any) -> Any:
    """Of an empty string an empty string, of an empty array null."""
    return _cut(series, 0, 1) if isinstance(series, str) else series[0] if series else None


@FUNCTIONS.add("last", "series")
def last(series: Any) -> Any:
    if isinstance(series, str):
        return _cut(series, max(len(units(series)) - 1, 0), None)
    return series[-1] if series else None


@FUNCTIONS.add("length", "series")
def length(series: Any) -> int:
    return len(units(series)) if isinstance(series, str) else len(series)


@FUNCTIONS.add("skip", "series", "integer")
def skip(series: Any, count: int) -> Any:
    return _cut(series, _count(count), None)


@FUNCTIONS.add("take", "series", "integer")
def take(series: Any, count: int) -> Any:
    return _cut(series, 0, _count(count))


@FUNCTIONS.add("join", "list", "text")
def join(values: list[Any], separator: str) -> str:
    parts = list(map(to_text, values))
    if sum(map(len, parts)) + len(separator) * len(parts) > LONGEST:
        raise EvaluationError(f"a text of more than {LONGEST} characters")
    return separator.join(parts)


@FUNCTIONS.add("union", "groups", "groups*")
def union(*groups: Any) -> Any:
    """Arrays: each value once, where it is first. Objects: of two values of a key the last."""
    if _are_objects(groups):
        return {key: value for group in groups for key, value in group.items()}
    found: dict[str, Any] = {}
    for value in chain.from_iterable(groups):
        found.setdefault(_identity(value), value)
    return list(found.values())


@FUNCTIONS.add("intersection", "groups", "groups*")
def intersection(*groups: Any) -> Any:
    """Arrays: values in all of them, once. Objects: properties that are equal in all of them."""
    found, *others = groups
    if _are_objects(groups):
        return {key: value for key, value in found.items() if all(key in one and same(one[key], value) for one in others)}
    known = [{_identity(value) for value in group} for group in others]
    unique = {_identity(value): value for value in found}
    return [value for identity, value in unique.items() if all(identity in group for group in known)]


def _identity(value: Any) -> str:
    """Equal for values that are the same."""
    if isinstance(value, dict):
        parts = sorted(f"{write(key)}:{_identity(inner)}" for key, inner in value.items())
        return f"{{{','.join(parts)}}}"
    return f"[{','.join(map(_identity, value))}]" if isinstance(value, list) else write(value)


def _are_objects(groups: Sequence[Any]) -> bool:
    kinds = {type_name(group) for group in groups}
    if len(kinds) > 1:
        raise EvaluationError("got arrays and objects: takes arrays alone or objects alone")
    return kinds == {"Object"}


def _count(count: int) -> int:
    if count < 0:
        raise EvaluationError(f"argument 2: got {count}: takes 0 or more")
    return count


def _cut(series: Any, start: int, end: int | None) -> Any:
    return characters(units(series)[start:end]) if isinstance(series, str) else series[start:end]
