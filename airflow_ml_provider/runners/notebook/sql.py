"""SQL cells: statements apart from each other, widgets in them, and the statements that make widgets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`[^`]*`|--[^\n]*|/\*.*?\*/|;|(?<![\w:]):([A-Za-z_]\w*)""",
    re.DOTALL,
)
_WIDGET = re.compile(
    r"""CREATE\s+WIDGET\s+(TEXT|DROPDOWN|COMBOBOX|MULTISELECT)\s+(`[^`]+`|\w+)\s+DEFAULT\s+(['"])(.*?)\3.*""",
    re.IGNORECASE | re.DOTALL,
)
_REMOVE = re.compile(r"REMOVE\s+WIDGET\s+(`[^`]+`|\w+)", re.IGNORECASE)


def statements(text: str) -> Iterator[tuple[str, set[str]]]:
    """Each statement with the names of its ``:name`` parameters; semicolons in quotes and comments part nothing."""
    start, names = 0, set()
    for match in _TOKEN.finditer(text):
        if match[1]:
            names.add(match[1])
        if match[0] == ";":
            yield text[start : match.start()].strip(), names
            start, names = match.end(), set()
    yield text[start:].strip(), names


def runnable(text: str) -> list[tuple[str, set[str]]]:
    """The statements that are more than comments."""
    return [(statement, names) for statement, names in statements(text) if _without_comments(statement)]


def with_widgets(text: str, values: Mapping[str, str]) -> str:
    """The text with ``${name}``, ``$name`` and ``getArgument("name")`` replaced by widgets' values, as Databricks does."""
    for name, value in values.items():
        quoted = "'" + value.replace("'", "\\'") + "'"
        for pattern, shown in (
            (rf"\$\{{{re.escape(name)}\}}", value),
            (rf"\${re.escape(name)}(?!\w)", value),
            (rf"getArgument\(\s*([\"']){re.escape(name)}\1\s*\)", quoted),
        ):
            text = re.sub(pattern, shown.replace("\\", "\\\\"), text)
    return text


def widget(statement: str) -> tuple[str, tuple[Any, ...]] | None:
    """The method of ``dbutils.widgets`` that a statement means, and its arguments; None for every other statement."""
    statement = _without_comments(statement)
    if found := _WIDGET.fullmatch(statement):
        kind = found[1].lower()
        return ("text" if kind == "dropdown" else kind), (found[2].strip("`"), found[4])
    if found := _REMOVE.fullmatch(statement):
        return "remove", (found[1].strip("`"),)
    return None


def _without_comments(statement: str) -> str:
    """The statement without its comments; quotes are respected."""
    return _TOKEN.sub(lambda match: "" if match[0].startswith(("--", "/*")) else match[0], statement).strip()
