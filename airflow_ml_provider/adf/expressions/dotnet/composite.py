"""Composite formatting as .NET has it, in its invariant culture: ``{0}``, ``{0,10}``, ``{0:D3}``, ``{0:#,##0.00}`` …"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

_HOLE = re.compile(
    r"\{\{|\}\}|\{(?P<index>\d{1,6})\s*(?:,\s*(?P<width>-?\d{1,6}))?\s*(?::(?P<form>(?:[^{}]|\{\{|\}\})*))?\}|[{}]"
)
_STANDARD = re.compile(r"([A-Za-z])(\d{0,3})")
_PIECE = re.compile(r"\\(?P<escaped>.)|'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<mark>.)", re.DOTALL)
_WIDEST = 1024
_BITS = 64


def composite(text: str, values: Sequence[Any], write: Callable[[Any], str]) -> str:
    """A text with its holes filled.

    :param write: what a value is as text; a form counts for numbers alone, as .NET's texts and booleans have none.
    :raises ValueError: .NET has no such form, or there is no such value.
    """

    def filled(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if match["index"] is None or int(match["index"]) >= len(values):
            raise ValueError(f"got {text!r} with {len(values)} values: takes {{0}}, {{1}} …")
        value, form = values[int(match["index"])], (match["form"] or "").replace("{{", "{").replace("}}", "}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return _aligned(number_as(value, form) if number and form else write(value), int(match["width"] or 0))

    return _HOLE.sub(filled, text)


def _aligned(text: str, width: int) -> str:
    if abs(width) > _WIDEST:
        raise ValueError(f"got the width {width}: takes {-_WIDEST} to {_WIDEST}")
    return text.rjust(width) if width >= 0 else text.ljust(-width)


def number_as(value: float, form: str) -> str:
    """A number in one of .NET's standard or custom forms."""
    found = _STANDARD.fullmatch(form)
    if found is None:
        return _custom(Decimal(repr(value)), form)
    writer = _WRITERS.get(found[1].upper())
    if writer is None:
        raise ValueError(f"got the form {form!r}: takes {', '.join(_WRITERS)}, or a custom one such as 000 or #,##0.00")
    precision = int(found[2]) if found[2] else None
    with localcontext() as context:
        context.prec = 1400
        text = writer(Decimal(repr(value)), precision)
    return text.lower() if found[1] in "xe" else text


def _digits(value: Decimal, precision: int | None) -> str:
    if value != value.to_integral_value():
        raise ValueError(f"got the form D for {value}: takes an integer")
    return f"{'-' if value < 0 else ''}{int(abs(value)):0{precision or 1}d}"


def _hex(value: Decimal, precision: int | None) -> str:
    if value != value.to_integral_value():
        raise ValueError(f"got the form X for {value}: takes an integer")
    return f"{int(value) % (1 << _BITS):0{precision or 1}X}"


def _fixed(value: Decimal, precision: int | None, *, grouped: bool = False) -> str:
    rounded = _rounded(value, 2 if precision is None else precision)
    return f"{rounded:{',' if grouped else ''}f}"


def _rounded(value: Decimal, places: int) -> Decimal:
    found = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return found or abs(found)  # no minus before a zero


def _currency(value: Decimal, precision: int | None) -> str:
    text = _fixed(abs(value), precision, grouped=True)
    return f"(¤{text})" if _rounded(value, 2 if precision is None else precision) < 0 else f"¤{text}"


def _scientific(value: Decimal, precision: int | None) -> str:
    return _with_exponent(value, 6 if precision is None else precision, 3)


def _with_exponent(value: Decimal, places: int, least: int) -> str:
    mantissa, _, exponent = f"{value:.{places}E}".partition("E")
    return f"{mantissa}E{exponent[0]}{exponent[1:].rjust(least, '0')}"


def _general(value: Decimal, precision: int | None) -> str:
    """The shorter of fixed and scientific."""
    if not precision or not value:
        return f"{value.normalize():f}" if value else "0"
    mantissa, _, exponent = f"{value:.{precision - 1}E}".partition("E")
    if not -5 < int(exponent) < precision:
        short = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{short}E{exponent[0]}{exponent[1:].rjust(2, '0')}"
    text = f"{_rounded(value, max(precision - 1 - int(exponent), 0)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


_WRITERS: dict[str, Callable[[Decimal, int | None], str]] = {
    "C": _currency,
    "D": _digits,
    "E": _scientific,
    "F": _fixed,
    "G": _general,
    "N": lambda value, precision: _fixed(value, precision, grouped=True),
    "P": lambda value, precision: f"{_fixed(value * 100, precision, grouped=True)} %",
    "X": _hex,
}


def _custom(value: Decimal, form: str) -> str:
    """A custom form: its section for the value's sign, with ``0``, ``#``, ``.``, ``,``, ``%`` and texts."""
    sections = _sections(form)
    section, sign = sections[0], "-" if value < 0 else ""
    if value < 0 and len(sections) > 1 and sections[1]:
        section, sign = sections[1], ""
    elif value == 0 and len(sections) > 2:
        section = sections[2]
    text, is_zero = _in_section(abs(value), section)
    return text if is_zero else sign + text


def _sections(form: str) -> list[list[tuple[str, bool]]]:
    """The pieces of each section: a text, and whether it stands for itself."""
    found: list[list[tuple[str, bool]]] = [[]]
    for match in _PIECE.finditer(form):
        mark = match["mark"]
        if mark == ";":
            found.append([])
        elif mark is None:
            found[-1].append((match["escaped"] or match["single"] or match["double"] or "", True))
        elif mark in "eE‰":
            raise ValueError(f"got the form {form!r}: {mark!r} is not written here: put it in quotes, or take the form E")
        else:
            found[-1].append((mark, mark not in "0#.,%"))
    return found


def _in_section(value: Decimal, section: list[tuple[str, bool]]) -> tuple[str, bool]:
    """A value in a section, and whether it is zero there."""
    places = [number for number, (text, plain) in enumerate(section) if not plain and text in "0#.,"]
    if not places:
        return "".join(text for text, _ in section), True
    first, last = places[0], places[-1] + 1
    if len(places) < last - first:
        raise ValueError("got a form with texts between its digits: takes them before or after")
    hundred = 100 if ("%", False) in section else 1
    number, is_zero = _in_places(value * hundred, "".join(text for text, _ in section[first:last]))
    before, after = ("".join(text for text, _ in part) for part in (section[:first], section[last:]))
    return f"{before}{number}{after}", is_zero


def _in_places(value: Decimal, places: str) -> tuple[str, bool]:
    """A value in places such as ``#,##0.0#``. A comma at the end of the whole ones divides by a thousand, another one groups them."""
    before, point, after = places.partition(".")
    whole, after = before.rstrip(","), after.replace(",", "").replace(".", "")
    commas = len(before) - len(whole)
    rounded = _rounded(value.scaleb(-3 * commas), len(after))
    digits, _, fraction = f"{rounded:f}".partition(".")
    plain = whole.replace(",", "")
    digits = ("" if digits == "0" else digits).rjust(len(plain) - plain.find("0") if "0" in plain else 0, "0")
    least = after.rfind("0") + 1
    fraction = fraction[:least] + fraction[least:].rstrip("0")
    grouped = _by_thousands(digits) if "," in whole.lstrip(",") else digits
    return f"{grouped}{point if fraction else ''}{fraction}", not rounded


def _by_thousands(digits: str) -> str:
    first = len(digits) % 3
    return ",".join(filter(None, [digits[:first], *(digits[at : at + 3] for at in range(first, len(digits), 3))]))
