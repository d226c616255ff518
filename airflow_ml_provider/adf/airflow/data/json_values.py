"""Values of databases as JSON has them."""

from __future__ import annotations

import base64
from datetime import date, time
from decimal import Decimal
from typing import Any


def plain(value: Any) -> Any:
    """A number, a text, a boolean or None as it is; a time in ISO's form; bytes in base 64."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    return value if value is None or isinstance(value, bool | int | float | str | list | dict) else str(value)
