"""Dates as .NET writes them in the culture en-US, which is Data Factory's: the standard formats of one letter, and custom ones."""

from __future__ import annotations

import re
from collections.abc import Callable

from airflow_ml_provider.adf.expressions.dotnet.dates import DAYS, MONTHS, Moment

_ROUNDTRIP = "yyyy-MM-ddTHH:mm:ss.fffffffK"
_STANDARD = {
    "d": "M/d/yyyy",
    "D": "dddd, MMMM d, yyyy",
    "f": "dddd, MMMM d, yyyy h:mm tt",
    "F": "dddd, MMMM d, yyyy h:mm:ss tt",
    "g": "M/d/yyyy h:mm tt",
    "G": "M/d/yyyy h:mm:ss tt",
    "m": "MMMM d",
    "M": "MMMM d",
    "o": _ROUNDTRIP,
    "O": _ROUNDTRIP,
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "t": "h:mm tt",
    "T": "h:mm:ss tt",
    "u": "yyyy-MM-dd HH:mm:ss'Z'",
    "U": "dddd, MMMM d, yyyy h:mm:ss tt",
    "y": "MMMM yyyy",
    "Y": "MMMM yyyy",
}
_PIECE = re.compile(
    r"""(?P<run>([dfFghHKmMstyz])\2*) | (?P<quoted>'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*")
    | \\(?P<escaped>.) | %(?P<single>[^%]) | (?P<wrong>["'\\%]) | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


def write(moment: Moment, form: str = "o") -> str:
    """The moment in a format.

    :raises ValueError: .NET has no such format.
    """
    if len(form) == 1 and form not in _STANDARD:
        raise ValueError(f"got the format {form!r}: takes one of {' '.join(_STANDARD)}, or a custom format of more letters")
    custom = _STANDARD.get(form, form) if form else _STANDARD["G"]
    written = ""
    for match in _PIECE.finditer(custom):
        if match["wrong"]:
            raise ValueError(f"got the format {form!r}: {match['wrong']!r} stands alone")
        written = _piece(written, match, moment)
    return written


def _piece(written: str, match: re.Match[str], moment: Moment) -> str:
    run = match["run"] or match["single"] or ""
    if run and run[0] in _WRITERS:
        text = _WRITERS[run[0]](moment, len(run))
        # no fraction, no point in front of it
        return written[:-1] if run[0] == "F" and not text and written.endswith(".") else written + text
    if match["quoted"]:
        return written + re.sub(r"\\(.)", r"\1", match["quoted"][1:-1], flags=re.DOTALL)
    return written + (match["escaped"] or match["other"] or run)


def _day(moment: Moment, count: int) -> str:
    if count <= 2:
        return f"{moment.day.day:0{count}d}"
    name = DAYS[moment.day.weekday()]
    return name[:3] if count == 3 else name


def _month(moment: Moment, count: int) -> str:
    if count <= 2:
        return f"{moment.day.month:0{count}d}"
    name = MONTHS[moment.day.month - 1]
    return name[:3] if count == 3 else name


def _year(moment: Moment, count: int) -> str:
    year = moment.day.year
    return f"{year % 100:0{count}d}" if count <= 2 else f"{year:0{count}d}"


def _hour(moment: Moment, count: int) -> str:
    return f"{moment.time[0]:0{min(count, 2)}d}"


def _half_hour(moment: Moment, count: int) -> str:
    return f"{moment.time[0] % 12 or 12:0{min(count, 2)}d}"


def _minute(moment: Moment, count: int) -> str:
    return f"{moment.time[1]:0{min(count, 2)}d}"


def _second(moment: Moment, count: int) -> str:
    return f"{moment.time[2]:0{min(count, 2)}d}"


def _fraction(moment: Moment, count: int) -> str:
    if count > 7:
        raise ValueError(f"got a format with {'f' * count}: takes 7 at most")
    return f"{moment.time[3]:07d}"[:count]


def _short_fraction(moment: Moment, count: int) -> str:
    return _fraction(moment, count).rstrip("0")


def _half(moment: Moment, count: int) -> str:
    return ("AM" if moment.time[0] < 12 else "PM")[: min(count, 2)]


def _offset(_: Moment, count: int) -> str:
    return {1: "+0", 2: "+00"}.get(count, "+00:00")


def _kind(moment: Moment, count: int) -> str:
    return {"Z": "Z", "local": "+00:00"}.get(moment.kind, "") * count


def _era(_: Moment, __: int) -> str:
    return "A.D."


_WRITERS: dict[str, Callable[[Moment, int], str]] = {
    "d": _day,
    "f": _fraction,
    "F": _short_fraction,
    "g": _era,
    "h": _half_hour,
    "H": _hour,
    "K": _kind,
    "m": _minute,
    "M": _month,
    "s": _second,
    "t": _half,
    "y": _year,
    "z": _offset,
}
