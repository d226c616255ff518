"""Math functions. Two integers give an integer of 64 bits, anything else a float."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions.dotnet.numbers import HIGHEST, LOWEST, type_name
from airflow_ml_provider.adf.expressions.functions.signature import Table

FUNCTIONS = Table()
Number = int | float
_MOST = 100_000
_LAST = 2**31 - 1


@FUNCTIONS.add("add", "number", "number")
def add(one: Number, other: Number) -> Number:
    return _computed(lambda: one + other)


@FUNCTIONS.add("sub", "number", "number")
def sub(one: Number, other: Number) -> Number:
    return _computed(lambda: one - other)


@FUNCTIONS.add("mul", "number", "number")
def mul(one: Number, other: Number) -> Number:
    return _computed(lambda: one * other)


@FUNCTIONS.add("div", "number", "number")
def div(one: Number, other: Number) -> Number:
    _divides(other)
    if isinstance(one, float) or isinstance(other, float):
        return _computed(lambda: one / other)
    quotient = abs(one) // abs(other)
    return _computed(lambda: quotient if (one < 0) == (other < 0) else -quotient)


@FUNCTIONS.add("mod", "number", "number")
def mod(one: Number, other: Number) -> Number:
    """With the sign of the dividend."""
    _divides(other)
    if isinstance(one, float) or isinstance(other, float):
        return math.fmod(one, other) if math.isfinite(one) else math.nan
    return abs(one) % abs(other) * (-1 if one < 0 else 1)


@FUNCTIONS.add("max", "any*")
def largest(*values: Any) -> Number:
    return max(_numbers(values))


@FUNCTIONS.add("min", "any*")
def smallest(*values: Any) -> Number:
    return min(_numbers(values))


@FUNCTIONS.add("rand", "integer", "integer")
def rand(low: int, high: int) -> int:
    """From ``low`` up to, and without, ``high``; ``low`` itself when they are equal."""
    if low > high:
        raise EvaluationError(f"got {low} and {high}: takes the lower bound first")
    return random.randrange(low, high) if low < high else low


@FUNCTIONS.add("range", "integer", "integer")
def sequence(start: int, count: int) -> list[int]:
    if not 0 <= count <= _MOST:
        raise EvaluationError(f"argument 2: got {count}: takes 0 to {_MOST}")
    if start + count > _LAST:
        raise EvaluationError(f"got {start} and {count}: takes a sum of {_LAST} at most")
    return list(range(start, start + count))


def _computed(compute: Callable[[], Number]) -> Number:
    try:
        value = compute()
    except OverflowError as error:
        raise EvaluationError("the result is too large") from error
    if isinstance(value, int) and not LOWEST <= value <= HIGHEST:
        raise EvaluationError(f"got {value}: takes a result of 64 bits")
    return value


def _divides(other: Number) -> None:
    if not other:
        raise EvaluationError("argument 2: got 0: takes what divides")


def _numbers(values: tuple[Any, ...]) -> list[Number]:
    found = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    wrong = [type_name(value) for value in found if isinstance(value, bool) or not isinstance(value, (int, float))]
    if wrong or not found:
        raise EvaluationError(f"got {wrong[0] if wrong else 'no numbers'}: takes numbers, or one array of numbers")
    return list(found)
