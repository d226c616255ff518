"""Numbers as .NET writes and reads them, and the names of types in messages."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

LOWEST, HIGHEST = -(2**63), 2**63 - 1
"""What an Integer holds."""

_PLAIN_DIGITS = 17
_NUMBER = re.compile(r"\s*[+-]?(\d[\d,]*\.?\d*|\.\d+)([eE][+-]?\d{1,9})?\s*", re.ASCII)
_SPECIAL = {"infinity": math.inf, "+infinity": math.inf, "-infinity": -math.inf, "nan": math.nan, "-nan": math.nan}
_NAMES = {bool: "Boolean", int: "Integer", float: "Float", str: "String", list: "Array", dict: "Object", type(None): "Null"}


def type_name(value: Any) -> str:
    """The language's name for the type of a value."""
    return _NAMES.get(type(value), type(value).__name__)


def write_float(value: float) -> str:
    """The shortest text that reads back as the value: 1.5, 1E+20, 1E-05."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    sign = "-" if math.copysign(1, value) < 0 else ""
    digits, exponent = _digits(abs(value))
    before = exponent + len(digits)  # digits in front of the decimal point
    if before > _PLAIN_DIGITS or before < -3:
        mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
        return f"{sign}{mantissa}E{before - 1:+03d}"
    if before <= 0:
        return f"{sign}0.{'0' * -before}{digits}" if value else f"{sign}0"
    whole, rest = digits[:before].ljust(before, "0"), digits[before:]
    return f"{sign}{whole}.{rest}" if rest else sign + whole


def _digits(value: float) -> tuple[str, int]:
    """The significant digits and the power of ten of the last one."""
    _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    return "".join(map(str, digits)), int(exponent)


def read_integer(text: str) -> int | None:
    """The integer in a text such as ``1,000`` or ``1e3``; None when there is none, or it is too large."""
    if not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text.replace(",", "").strip())
    if number.adjusted() > len(str(HIGHEST)) or number.adjusted() < -len(str(HIGHEST)) or number != number.to_integral_value():
        return 0 if number.is_zero() else None
    return int(number) if LOWEST <= number <= HIGHEST else None


def read_float(text: str) -> float | None:
    """The number in a text; None when there is none. What is too large is infinite."""
    if _NUMBER.fullmatch(text):
        return float(text.replace(",", ""))
    return _SPECIAL.get(text.strip().casefold())
