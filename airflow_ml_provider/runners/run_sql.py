"""Runs SQL statements: ``run_sql.py '{"text": "SELECT :a", "parameters": {"a": 1}, "limit": 100}'``, or ``"file"`` for ``"text"``.

Prints the last result's first rows as a table and hands them back: ``{"columns": […], "rows": [[…]], "truncated": false}``.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_WIDEST = 60
_SHOWN = 100
# In this order: what begins first hides what looks like another one in it.
_TOKEN = re.compile(
    r"""(?P<comment>--(?:\\\n|[^\n])*)
    |(?P<open>/\*(?!\+))
    |(?P<text>(?<![A-Za-z0-9_])[rR](?:'[^']*'|"[^"]*")|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:``|[^`])*`)
    |(?P<end>;)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_EDGE = re.compile(r"/\*|\*/")
_SCRIPT = re.compile(r"\s*BEGIN\b(?!\s*;)", re.IGNORECASE)


def statements(text: str) -> list[str]:
    """The statements of a text, without the comments around and in them. A script (``BEGIN … END``) is one to its end."""
    found: list[str] = []
    current, at = "", 0
    while at < len(text):
        if not current.strip() and _SCRIPT.match(text, at):
            return [*found, text[at:].strip().removesuffix(";")]
        token = _TOKEN.match(text, at)
        assert token is not None
        at = token.end()
        if token["open"]:
            current, at = f"{current} ", _after_comment(text, at)
        elif token["end"]:
            found.append(current.strip())
            current = ""
        elif not token["comment"]:
            current += token[0]
    return [statement for statement in (*found, current.strip()) if statement]


def _after_comment(text: str, at: int) -> int:
    """Where a comment that began before ``at`` ends. They nest; a hint (``/*+``) never comes here."""
    depth = 1
    while depth:
        edge = _EDGE.search(text, at)
        if edge is None:
            return len(text)
        depth += 1 if edge[0] == "/*" else -1
        at = edge.end()
    return at


def run(text: str, parameters: dict[str, Any], limit: int) -> dict[str, Any] | None:
    """Run the statements one after the other and return the last one's first rows; None when it has no columns."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    todo = statements(text)
    if not todo:
        raise SystemExit("there is no statement in the SQL")
    for number, statement in enumerate(todo, 1):
        print(f"-- {number} of {len(todo)}: {' '.join(statement.split())[:_SHOWN]}", flush=True)
        result = spark.sql(statement, args=parameters) if parameters else spark.sql(statement)
    if not result.columns:
        return None
    rows = result.take(limit + 1)
    plain = [[_plain(value) for value in row] for row in rows[:limit]]
    return {"columns": result.columns, "rows": plain, "truncated": len(rows) > limit}


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """The lines of a text table."""
    cells = [[_cell(value) for value in row] for row in (columns, *rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    for number, row in enumerate(cells):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()  # noqa: B905 - Python 3.9
        if not number:
            yield "  ".join("-" * width for width in widths)


def _cell(value: Any) -> str:
    text = "NULL" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.replace("\n", "\\n")
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _plain(value: Any) -> Any:
    """A value as JSON has it: what JSON has not, as text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if hasattr(value, "asDict"):
        return _plain(value.asDict())
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.hex() if isinstance(value, (bytes, bytearray)) else str(value)


def main(asked: dict[str, Any]) -> None:
    text = asked["text"] if "text" in asked else Path(asked["file"]).read_text(encoding="utf-8")
    result = run(text, asked["parameters"], asked["limit"])
    if result is not None:
        print(*table(result["columns"], result["rows"]), sep="\n")
        print(f"({'the first ' if result['truncated'] else ''}{len(result['rows'])} rows)")
    Path(os.environ["AIRFLOW_ML_RESULT"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
