"""Script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import Call, limited
from airflow_ml_provider.adf.airflow.activities.lookup import ROWS_AT_MOST, hook_of
from airflow_ml_provider.adf.airflow.data.dataset_places import service_of
from airflow_ml_provider.adf.airflow.data.json_values import plain
from airflow_ml_provider.adf.airflow.data.row_files import of_query
from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.core.errors import SpecError


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
            results.append({"rowCount": len(rows), "rows": rows[:ROWS_AT_MOST]})
        else:
            hook.run(text, parameters=values or None, autocommit=True)
    return {"resultSetCount": len(results), "resultSets": results}


def _input(call: Call, parameter: Mapping[str, Any]) -> Any:
    direction = str(pick(parameter, "direction") or "Input")
    if direction.casefold() != "input":
        raise SpecError(f"activity {call.activity.name!r}: scripts.parameters: got the direction {direction!r}: takes Input")
    return pick(parameter, "value")
