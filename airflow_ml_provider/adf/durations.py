"""Lengths of time as ADF writes them."""

from __future__ import annotations

import re
from typing import Any

_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?")


def seconds_of(text: Any) -> float | None:
    """Seconds of ``d.hh:mm:ss`` or of a number; None for anything else, such as an expression."""
    if isinstance(text, bool) or text is None:
        return None
    if isinstance(text, int | float):
        return float(text)
    match = _SPAN.fullmatch(str(text).strip())
    if not match:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
