"""Runs SQL statements: ``run_sql.py '{"text": "SELECT :a", "parameters": {"a": 1}, "limit": 100}'``, or ``"file"`` for ``"text"``.

Prints the last result's first rows as a table and hands them back: ``{"columns": […], "rows": [[…]], "truncated": false}``.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_WIDEST = 60
_SHOWN = 100


def statements(text: str) -> list[str]:
    """The statements of a text, each with the comments in it."""
    sys.path.insert(0, str(Path.cwd()))  # this module is among the job's files
    return [statement.text for statement in importlib.import_module("sql_statements").split(text)]


def read(file: Path) -> str:
    """The text of a file, with or without a byte order mark. :class:`SystemExit` when it is not in UTF-8."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SystemExit(f"{file.name}: expected UTF-8, got {error}: save the file as UTF-8") from None


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
    text = asked["text"] if "text" in asked else read(Path(asked["file"]))
    result = run(text, asked["parameters"], asked["limit"])
    if result is not None:
        print(*table(result["columns"], result["rows"]), sep="\n")
        print(f"({'the first ' if result['truncated'] else ''}{len(result['rows'])} rows)")
    Path(os.environ["AIRFLOW_ML_RESULT"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
