"""Tables as a notebook shows them. All are bounded: rows, columns, the characters of a cell and those of the whole."""

from __future__ import annotations

import html
from typing import Any

from .redaction import Redactor

ROWS = 1000
COLUMNS = 200
CELL = 1000
"""Characters of one value."""
CHARACTERS = 2 << 20
"""Characters of a table's HTML: a table of long rows shows fewer of them."""
_CELL_IN_LOG = 60
_ROWS_IN_LOG = 20


class Table(dict[str, Any]):
    """The forms of a table of ours, whose HTML is safe: every cell in it is escaped."""


def is_spark_table(value: Any) -> bool:
    """Whether a value is a DataFrame of Spark, in either API."""
    return type(value).__module__.startswith("pyspark.sql") and type(value).__name__ == "DataFrame"


def spark_table(table: Any, redactor: Redactor) -> Table:
    """The first rows and columns of a DataFrame. Spark itself cuts long texts: they do not reach the driver."""
    columns = list(table.columns)
    shown = range(min(len(columns), COLUMNS))
    names = [f"c{at}" for at in range(len(columns))]  # a DataFrame may have two columns of one name
    types = [field.dataType.typeName() for field in table.schema.fields]
    head = table.limit(ROWS + 1).toDF(*names)
    chosen = [head[names[at]].substr(1, CELL + 1) if types[at] in ("string", "binary") else head[names[at]] for at in shown]
    rows = head.select(*chosen).collect()
    return table_bundle(columns, [["null" if value is None else str(value) for value in row] for row in rows], redactor)


def table_bundle(columns: list[str], rows: list[list[str]], redactor: Redactor) -> Table:
    """A table as HTML and as text, with notes that say what is left out."""
    clean = [[_cell(value, redactor) for value in row[:COLUMNS]] for row in rows[:ROWS]]
    head = [_cell(name, redactor) for name in columns[:COLUMNS]]
    lines = _fitting(clean)
    notes = []
    if len(lines) < len(rows):
        notes.append(f"The first {len(lines):,} rows.")
    if len(head) < len(columns):
        notes.append(f"The first {len(head)} of {len(columns):,} columns.")
    names = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    note = f"<p>{' '.join(notes)}</p>" if notes else ""
    page = f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(lines)}</tbody></table>{note}"
    more = [f"… {len(lines)} rows"] if len(lines) > _ROWS_IN_LOG else []
    return Table({"text/html": page, "text/plain": "\n".join([_text_table(head, clean[:_ROWS_IN_LOG]), *more, *notes])})


def _cell(value: str, redactor: Redactor) -> str:
    return redactor(value) if len(value) <= CELL else f"{redactor.shortened(value, CELL)}…"


def _fitting(rows: list[list[str]]) -> list[str]:
    """The rows in HTML, as many as there is room for."""
    lines, room = [], CHARACTERS
    for row in rows:
        line = "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        room -= len(line)
        if room < 0:
            break
        lines.append(line)
    return lines


def _text_table(columns: list[str], rows: list[list[str]]) -> str:
    table = [[cell[:_CELL_IN_LOG] for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[at]) for row in table) for at in range(len(columns))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([lines[0], "-+-".join("-" * width for width in widths), *lines[1:]])
