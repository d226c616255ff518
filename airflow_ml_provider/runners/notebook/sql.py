"""SQL cells: widgets in statements, and the statements that make widgets. Pure."""

from __future__ import annotations

import re
from typing import Any

from .sql_statements import without_comments

_WIDGET = re.compile(
    r"""CREATE\s+WIDGET\s+(TEXT|DROPDOWN|COMBOBOX|MULTISELECT)\s+(`[^`]+`|\w+)\s+DEFAULT\s+(['"])(.*?)\3.*""",
    re.IGNORECASE | re.DOTALL,
)
_REMOVE = re.compile(r"REMOVE\s+WIDGET\s+(`[^`]+`|\w+)", re.IGNORECASE)


def widget(statement: str) -> tuple[str, tuple[Any, ...]] | None:
    """The method of ``dbutils.widgets`` that a statement means, and its arguments; None for every other statement."""
    statement = without_comments(statement)
    if found := _WIDGET.fullmatch(statement):
        kind = found[1].lower()
        return ("text" if kind == "dropdown" else kind), (found[2].strip("`"), found[4])
    if found := _REMOVE.fullmatch(statement):
        return "remove", (found[1].strip("`"),)
    return None
