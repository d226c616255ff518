"""Activities on databases, through the hook of the linked service's connection; and the rows of a Lookup."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from airflow_ml_provider.adf.reading import pick
from airflow_ml_provider.core.errors import ConfigurationError, SpecError
from airflow_ml_provider.operators.adf.calls import ActivityFailed, Call
from airflow_ml_provider.operators.adf.places import Store, conn_id_of, dataset_place

_ROWS_AT_MOST = 5000
_QUERIES = ("sqlReaderQuery", "query", "oracleReaderQuery")


def lookup(call: Call) -> Any:
    """The first row as ``firstRow``, or up to 5000 as ``count`` and ``value``."""
    place = dataset_place(call, pick(call.activity.type_properties, "dataset"))
    rows = _rows_of_file(place) if place.is_file else rows_of(call, place, call("source", {}))
    if call("firstRowOnly", True):
        if not rows:
            raise ActivityFailed(f"activity {call.activity.name!r}: there is no row", "2100")
        return {"firstRow": rows[0]}
    return {"count": min(len(rows), _ROWS_AT_MOST), "value": rows[:_ROWS_AT_MOST]}


def rows_of(call: Call, place: Store, source: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a source of a database reads: its query's rows, or the whole table's."""
    query = next((str(found) for key in _QUERIES if (found := pick(source, key))), "")
    if not query and pick(source, "sqlReaderStoredProcedureName"):
        arguments = pick(source, "storedProcedureParameters") or {}
        return _query(hook_of(place.conn_id), *_procedure(str(pick(source, "sqlReaderStoredProcedureName")), arguments))
    if not query and not place.table:
        raise SpecError(f"activity {call.activity.name!r}: takes a query, or a dataset {place.name!r} with a table")
    return _query(hook_of(place.conn_id), query or f"SELECT * FROM {place.table}")  # noqa: S608  names of the export, no input


def script(call: Call) -> Any:
    """Every script in turn; the rows of each query are a result set."""
    hook = hook_of(_service(call))
    results: list[Any] = []
    for one in call("scripts", []):
        text, kind = str(pick(one, "text") or ""), str(pick(one, "type") or "Query")
        values = [pick(parameter, "value") for parameter in pick(one, "parameters") or ()]
        if kind.casefold() == "query":
            rows = _query(hook, text, values)
            results.append({"rowCount": len(rows), "rows": rows[:_ROWS_AT_MOST]})
        else:
            hook.run(text, parameters=values or None, autocommit=True)
    return {"resultSetCount": len(results), "resultSets": results}


def stored_procedure(call: Call) -> Any:
    arguments = call("storedProcedureParameters", {})
    text, values = _procedure(str(call.required("storedProcedureName")), arguments)
    hook_of(_service(call)).run(text, parameters=values or None, autocommit=True)
    return {}


def _procedure(name: str, arguments: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A call of a procedure in T-SQL, its arguments by name."""
    values = [pick(one, "value") if isinstance(one, Mapping) else one for one in arguments.values()]
    return f"EXEC {name} {', '.join(f'@{argument}=%s' for argument in arguments)}".strip(), values


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


def _service(call: Call) -> str:
    service = call.activity.linked_service
    if service is None:
        raise SpecError(f"activity {call.activity.name!r}: linkedServiceName: is required")
    return conn_id_of(service.name)


def _query(hook: Any, text: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
    def rows(cursor: Any) -> list[dict[str, Any]]:
        if cursor.description is None:
            return []
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()]

    found = hook.run(text, parameters=values or None, handler=rows, autocommit=True)
    return list(found or [])


def _plain(value: Any) -> Any:
    """A value of a database as JSON has it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _rows_of_file(place: Store) -> list[dict[str, Any]]:
    from airflow.sdk import ObjectStoragePath

    text = ObjectStoragePath(place.path).read_text()
    if place.kind == "json":
        return _rows_of_json(text)
    if place.kind != "delimitedtext":
        raise SpecError(f"dataset {place.name!r}: a Lookup reads Json and DelimitedText files: got {place.kind}")
    header = bool(pick(place.properties, "firstRowAsHeader"))
    lines = list(csv.reader(io.StringIO(text), delimiter=str(pick(place.properties, "columnDelimiter") or ",")))
    width = max(map(len, lines), default=0)
    names = lines.pop(0) if header and lines else [f"Prop_{number}" for number in range(width)]
    return [dict(zip(names, line, strict=False)) for line in lines]


def _rows_of_json(text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
    except ValueError:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    return found if isinstance(found, list) else [found]
