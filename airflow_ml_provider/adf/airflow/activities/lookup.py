"""Lookup: the rows of a table, of a query or of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call
from airflow_ml_provider.adf.airflow.data.dataset_places import Store, dataset_place
from airflow_ml_provider.adf.airflow.data.file_selection import select, store_settings
from airflow_ml_provider.adf.airflow.data.json_values import plain
from airflow_ml_provider.adf.airflow.data.row_columns import Row
from airflow_ml_provider.adf.airflow.data.row_files import of_files, of_query
from airflow_ml_provider.adf.airflow.data.sql_identifiers import quoted
from airflow_ml_provider.adf.airflow.data.sql_procedures import procedure_call
from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.core.errors import ConfigurationError, SpecError

ROWS_AT_MOST = 5000
_QUERIES = ("sqlReaderQuery", "query", "oracleReaderQuery")
_LEVELS = {
    "readcommitted": "",
    "readuncommitted": "READ UNCOMMITTED",
    "repeatableread": "REPEATABLE READ",
    "serializable": "SERIALIZABLE",
    "snapshot": "SNAPSHOT",
}


def lookup(call: Call) -> Any:
    """The first row as ``firstRow``, which is missing when there is none, or up to 5000 as ``count`` and ``value``."""
    place, source = dataset_place(call, pick(call.activity.type_properties, "dataset")), call("source", {})
    found = _of_files(place, source) if place.is_file else rows_of(call, place, source)
    rows = [{name: plain(value) for name, value in row.items()} for row in islice(found, ROWS_AT_MOST)]
    if call("firstRowOnly", True):
        return {"firstRow": rows[0]} if rows else {}
    return {"count": len(rows), "value": rows}


def _of_files(place: Store, source: Mapping[str, Any]) -> Iterator[Row]:
    files = select(place, store_settings(place, source)).files
    if not files:
        raise ActivityFailed(f"dataset {place.name!r}: there is no file {place.path}", "2011")
    return of_files(place, files, pick(source, "formatSettings") or {})


def rows_of(call: Call, place: Store, source: Mapping[str, Any]) -> Iterator[Row]:
    """What a source of a database reads: its query's rows, its procedure's, or the whole table's."""
    hook = hook_of(place.conn_id)
    limits: dict[str, Any] = {"timeout": seconds_of(pick(source, "queryTimeout")), "isolation": _isolation(hook, source)}
    if procedure := pick(source, "sqlReaderStoredProcedureName"):
        return of_query(hook, *procedure_call(hook, str(procedure), pick(source, "storedProcedureParameters") or {}), **limits)
    query = next((str(found) for key in _QUERIES if (found := pick(source, key))), "")
    if not query and not place.table_parts:
        raise SpecError(f"activity {call.activity.name!r}: takes a query, or a dataset {place.name!r} with a table")
    return of_query(hook, query or f"SELECT * FROM {quoted(hook, place.table_parts)}", **limits)  # noqa: S608  a quoted name


def _isolation(hook: Any, source: Mapping[str, Any]) -> str:
    """The statement that a source's ``isolationLevel`` asks for; empty for Data Factory's default, and for SQLite, which has one level."""
    asked = str(pick(source, "isolationLevel") or "ReadCommitted")
    if asked.casefold() not in _LEVELS:
        raise SpecError(f"source.isolationLevel: got {asked!r}: takes ReadCommitted, {', '.join(_LEVELS.values())}")
    level = _LEVELS[asked.casefold()]
    return f"SET TRANSACTION ISOLATION LEVEL {level}" if level and getattr(hook, "conn_type", "") != "sqlite" else ""


def hook_of(conn_id: str) -> Any:
    """The database hook of a connection; :class:`ConfigurationError` when it is none."""
    from airflow.sdk.bases.hook import BaseHook

    from airflow_ml_provider._compat import AirflowNotFoundException

    try:
        hook: Any = BaseHook.get_hook(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"connection {conn_id!r} does not exist: create it for the linked service of this name"
        ) from None
    if not hasattr(hook, "insert_rows"):
        raise ConfigurationError(f"connection {conn_id!r}: got a {type(hook).__name__}: takes a connection to a database")
    return hook
