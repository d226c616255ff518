"""Rows into a table: in one transaction where the database's hook inserts row by row, so that a Copy is whole or not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from airflow_ml_provider.adf.reading import pick
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.operators.adf.places import Store
from airflow_ml_provider.operators.adf.rows import BATCH, Row

_REFUSED = ("sqlWriterStoredProcedureName", "storedProcedureTableTypeParameterName")
_TYPES: tuple[tuple[type, str, str], ...] = (
    (bool, "BOOLEAN", "BIT"),
    (int, "BIGINT", "BIGINT"),
    (float, "DOUBLE PRECISION", "FLOAT"),
)
"""By a value's type: of a column of most databases, and of SQL Server's."""


def load(hook: Any, sink: Store, rows: Iterable[Row], settings: Mapping[str, Any]) -> int:
    """Write rows to the sink's table, and return how many.

    :param settings: the activity's ``sink``.
    :raises SpecError: the dataset names no table, or the settings ask for what is not honoured here.
    """
    for key in _REFUSED:
        if pick(settings, key):
            raise SpecError(f"sink.{key}: does not run here: takes an insert or an upsert")
    if not sink.table:
        raise SpecError(f"dataset {sink.name!r}: table: is required for a Copy to it")
    if before := pick(settings, "preCopyScript"):
        hook.run(str(before), autocommit=True)
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return 0
    if str(pick(settings, "tableOption") or "").casefold() == "autocreate":
        _create(hook, sink.table, first)
    counted = _Counted(chain([first], rows), list(first))
    at_once = BATCH if getattr(hook, "supports_executemany", False) else 0
    hook.insert_rows(sink.table, counted, target_fields=list(first), commit_every=at_once, **_upsert(settings))
    return counted.count


class _Counted:
    """Values in the order of the first row's columns, and how many rows there were."""

    def __init__(self, rows: Iterable[Row], names: list[str]) -> None:
        self.rows, self.names, self.count = rows, names, 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for row in self.rows:
            self.count += 1
            yield tuple(row.get(name) for name in self.names)


def _upsert(settings: Mapping[str, Any]) -> dict[str, Any]:
    """An update of the rows that have the same key, in the words of Airflow's hooks."""
    if str(pick(settings, "writeBehavior") or "insert").casefold() != "upsert":
        return {}
    keys = pick(pick(settings, "upsertSettings") or {}, "keys")
    if not isinstance(keys, list) or not keys:
        raise SpecError("sink.upsertSettings.keys: is required: takes the columns of the key")
    return {"replace": True, "replace_index": [str(key) for key in keys]}


def _create(hook: Any, table: str, row: Row) -> None:
    """Create the table where it does not exist, its columns as wide as the first row's values ask for."""
    try:
        hook.get_records(f"SELECT 1 FROM {table} WHERE 1 = 0")  # noqa: S608  a name of the export, no input
    except Exception:  # noqa: BLE001  each database has its own error for a table that is not there; CREATE tells of others
        columns = ", ".join(f'"{name}" {_type(hook, value)}' for name, value in row.items())
        hook.run(f"CREATE TABLE {table} ({columns})", autocommit=True)


def _type(hook: Any, value: Any) -> str:
    ours = getattr(hook, "conn_type", "") == "mssql"
    for kind, common, of_sql_server in _TYPES:
        if isinstance(value, kind):
            return of_sql_server if ours else common
    return "NVARCHAR(MAX)" if ours else "TEXT"
