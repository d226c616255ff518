"""Rows into a table: in one transaction where the database's hook inserts row by row, so that a Copy is whole or not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_ml_provider.adf.airflow.data.column_types import fitting, kinds_of, sql_type
from airflow_ml_provider.adf.airflow.data.dataset_places import Store
from airflow_ml_provider.adf.airflow.data.row_columns import BATCH, Row, aligned
from airflow_ml_provider.adf.airflow.data.sql_identifiers import field, quoted
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.core.errors import SpecError


def load(hook: Any, sink: Store, rows: Iterable[Row], settings: Mapping[str, Any], known: Sequence[str] = ()) -> int:
    """Write rows to the sink's table, and return how many.

    :param settings: the activity's ``sink``.
    :param known: the columns, where a translator or a schema names them.
    :raises SpecError: the dataset names no table, or an upsert has no keys.
    """
    if not sink.table_parts:
        raise SpecError(f"dataset {sink.name!r}: table: is required for a Copy to it")
    if before := pick(settings, "preCopyScript"):
        hook.run(str(before), autocommit=True)
    table = aligned(rows, known)
    if not table.sample:
        return 0
    target, counted = quoted(hook, sink.table_parts), _Counted(table.rows)
    if str(pick(settings, "tableOption") or "").casefold() == "autocreate" and not _exists(hook, target):
        kinds = kinds_of(table)
        columns = ", ".join(f"{quoted(hook, [name])} {sql_type(hook, kind)}" for name, kind in kinds.items())
        hook.run(f"CREATE TABLE {target} ({columns})", autocommit=True)
        counted.rows = fitting(table.rows, kinds)
    at_once = BATCH if getattr(hook, "supports_executemany", False) else 0
    fields = [field(hook, name) for name in table.names]
    hook.insert_rows(target, counted, target_fields=fields, commit_every=at_once, **_upsert(hook, settings))
    return counted.count


class _Counted:
    """The rows' values, and how many rows there were."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows, self.count = rows, 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for row in self.rows:
            self.count += 1
            yield tuple(row.values())


def _upsert(hook: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """An update of the rows that have the same key, in the words of Airflow's hooks."""
    if str(pick(settings, "writeBehavior") or "insert").casefold() != "upsert":
        return {}
    keys = pick(pick(settings, "upsertSettings") or {}, "keys")
    if not isinstance(keys, list) or not keys:
        raise SpecError("sink.upsertSettings.keys: is required: takes the columns of the key")
    return {"replace": True, "replace_index": [field(hook, str(key)) for key in keys]}


def _exists(hook: Any, target: str) -> bool:
    try:
        hook.get_records(f"SELECT 1 FROM {target} WHERE 1 = 0")  # noqa: S608  a quoted name
    except Exception:  # noqa: BLE001  each database has its own error for a table that is not there; CREATE tells of others
        return False
    return True
