"""Logical functions, and ``coalesce``. They look at no more arguments than they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions.dotnet.numbers import type_name
from airflow_ml_provider.adf.expressions.functions.signature import Table

FUNCTIONS = Table()
Thunk = Callable[[], Any]


@FUNCTIONS.add("and", "flag*", lazy=True)
def every(*conditions: Thunk) -> bool:
    return all(_flag(condition(), number) for number, condition in enumerate(conditions, 1))


@FUNCTIONS.add("or", "flag*", lazy=True)
def some(*conditions: Thunk) -> bool:
    return any(_flag(condition(), number) for number, condition in enumerate(conditions, 1))


@FUNCTIONS.add("if", "flag", "any", "any", lazy=True)
def either(condition: Thunk, yes: Thunk, no: Thunk) -> Any:
    return yes() if _flag(condition(), 1) else no()


@FUNCTIONS.add("coalesce", "any*", lazy=True)
def coalesce(*values: Thunk) -> Any:
    return next((found for value in values if (found := value()) is not None), None)


@FUNCTIONS.add("not", "flag")
def negate(flag: bool) -> bool:
    return not flag


@FUNCTIONS.add("equals", "any", "any*")
def equals(first: Any, *others: Any) -> bool:
    return all(_equal(first, other) for other in others)


@FUNCTIONS.add("greater", "any", "any")
def greater(one: Any, other: Any) -> bool:
    return _compared(one, other) > 0


@FUNCTIONS.add("greaterOrEquals", "any", "any")
def greater_or_equals(one: Any, other: Any) -> bool:
    return _compared(one, other) >= 0


@FUNCTIONS.add("less", "any", "any")
def less(one: Any, other: Any) -> bool:
    return _compared(one, other) < 0


@FUNCTIONS.add("lessOrEquals", "any", "any")
def less_or_equals(one: Any, other: Any) -> bool:
    return _compared(one, other) <= 0


def same(one: Any, other: Any) -> bool:
    """Whether two values are deeply equal; 1 and 1.0 are not, nor are keys in other capitals."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _equal(one: Any, other: Any) -> bool:
    """As :func:`same`, but numbers by themselves compare by value."""
    return one == other if _is_number(one) and _is_number(other) else same(one, other)


def _compared(one: Any, other: Any) -> int:
    """Below, at or above 0. Strings compare by code, so that ``B`` is less than ``a``."""
    if not (_is_number(one) and _is_number(other)) and not (isinstance(one, str) and isinstance(other, str)):
        raise EvaluationError(f"got values of types {type_name(one)} and {type_name(other)}: takes two numbers or two strings")
    return int(one > other) - int(one < other)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _flag(value: Any, number: int) -> bool:
    if not isinstance(value, bool):
        raise EvaluationError(f"argument {number}: got a value of type {type_name(value)}: takes Boolean")
    return value
