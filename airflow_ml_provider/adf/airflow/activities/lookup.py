"""Activities on databases, through the hook of the linked service's connection; and the rows of a Lookup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from airflow_ml_provider.adf.airflow.activities.control import ActivityFailed, Call, limited
from airflow_ml_provider.adf.airflow.data.dataset_places import Store, dataset_place, service_of
from airflow_ml_provider.adf.airflow.data.file_selection import select, store_settings
from airflow_ml_provider.adf.airflow.data.json_values import plain
from airflow_ml_provider.adf.airflow.data.row_columns import Row
from airflow_ml_provider.adf.airflow.data.row_files import of_files, of_query
from airflow_ml_provider.adf.airflow.data.sql_identifiers import parts_of, quoted
from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.core.errors import ConfigurationError, SpecError

_ROWS_AT_MOST = 5000
_QUERIES = ("sqlReaderQuery", "query", "oracleReaderQuery")
_LEVELS = {
    "readcommitted": "",
    "readuncommitted": "READ UNCOMMITTED",
    "repeatableread": "REPEATABLE READ",
    "serializable": "SERIALIZABLE",
    "snapshot": "SNAPSHOT",
}
_EXEC = ("EXEC {name} {arguments}", "@{name}={mark}")
_CALL = "CALL {name}({arguments})"
_PROCEDURES = {
    "mysql": (_CALL, "{mark}"),
    "oracle": ("BEGIN {name}({arguments}); END;", "{name} => {mark}"),
    "postgres": (_CALL, "{name} => {mark}"),
    "snowflake": (_CALL, "{name} => {mark}"),
}
"""How databases call a procedure, by the type of the connection; T-SQL where none is named."""


def lookup(call: Call) -> Any:
    """The first row as ``firstRow``, which is missing when there is none, or up to 5000 as ``count`` and ``value``."""
    place, source = dataset_place(call, pick(call.activity.type_properties, "dataset")), call("source", {})
    found = _of_files(place, source) if place.is_file else rows_of(call, place, source)
    rows = [{name: plain(value) for name, value in row.items()} for row in islice(found, _ROWS_AT_MOST)]
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
        return of_query(hook, *_procedure(hook, str(procedure), pick(source, "storedProcedureParameters") or {}), **limits)
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


def script(call: Call) -> Any:
    """Every script in turn, within ``scriptBlockExecutionTimeout``; the rows of each query are a result set."""
    seconds = seconds_of(call("scriptBlockExecutionTimeout"))
    return limited(call, seconds, lambda: _scripts(call)) if seconds else _scripts(call)


def _scripts(call: Call) -> Any:
    hook = hook_of(service_of(call))
    results: list[Any] = []
    for one in call("scripts", []):
        text, kind = str(pick(one, "text") or ""), str(pick(one, "type") or "Query")
        values = [_input(call, parameter) for parameter in pick(one, "parameters") or ()]
        if kind.casefold() == "query":
            rows = [{name: plain(value) for name, value in row.items()} for row in of_query(hook, text, values)]
            results.append({"rowCount": len(rows), "rows": rows[:_ROWS_AT_MOST]})
        else:
            hook.run(text, parameters=values or None, autocommit=True)
    return {"resultSetCount": len(results), "resultSets": results}


def _input(call: Call, parameter: Mapping[str, Any]) -> Any:
    direction = str(pick(parameter, "direction") or "Input")
    if direction.casefold() != "input":
        raise SpecError(f"activity {call.activity.name!r}: scripts.parameters: got the direction {direction!r}: takes Input")
    return pick(parameter, "value")


def stored_procedure(call: Call) -> Any:
    hook = hook_of(service_of(call))
    text, values = _procedure(hook, str(call.required("storedProcedureName")), call("storedProcedureParameters", {}))
    hook.run(text, parameters=values or None, autocommit=True)
    return {}


def _procedure(hook: Any, name: str, arguments: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A call of a procedure, its arguments by name where the database has that."""
    values = [pick(one, "value") if isinstance(one, Mapping) else one for one in arguments.values()]
    how, by_name = _PROCEDURES.get(getattr(hook, "conn_type", ""), _EXEC)
    mark = getattr(hook, "placeholder", "%s")
    named = ", ".join(by_name.format(name=_argument(one), mark=mark) for one in arguments)
    return how.format(name=_procedure_name(hook, name), arguments=named).strip(), values


def _procedure_name(hook: Any, name: str) -> str:
    """A plain word stays as it is: databases that fold names to one case find the procedure by it."""
    return ".".join(part if part.isidentifier() else quoted(hook, [part]) for part in parts_of(name))


def _argument(name: str) -> str:
    """An argument's name, which no database quotes; :class:`SpecError` for one that is no word."""
    word = name.removeprefix("@")
    if not word.isidentifier():
        raise SpecError(f"storedProcedureParameters: got the name {name!r}: takes letters, digits and _")
    return word


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
