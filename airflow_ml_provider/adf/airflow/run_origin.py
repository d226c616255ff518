"""Which trigger started a run, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_ml_provider.adf.airflow.task_index import Place
from airflow_ml_provider.adf.triggers.reader import Start
from airflow_ml_provider.adf.triggers.recurrence import Recurrence
from airflow_ml_provider.adf.triggers.windows import Windows

STARTED_BY = "adf_trigger"
"""Of a run's configuration: ``{"trigger": name, "body": what triggerBody() is}``; the XCom of the first task is the same."""

CALLED_BY = "adf_called_by"
"""Of a run's configuration: the pipeline that started it, ``{"name": …, "run_id": …, "group_id": …}``."""


def started_by(context: Mapping[str, Any], place: Place) -> tuple[Start | None, Any]:
    """The trigger that started a run, and what ``triggerBody()`` is; None for a run that a person or another pipeline started."""
    run = context["dag_run"]
    if run_type(run) in ("scheduled", "backfill"):
        timed = [one for one in place.starts if isinstance(one.timing, Recurrence | Windows)]
        logical = getattr(run, "logical_date", None)
        number = logical.microsecond if logical and len(timed) > 1 else 0
        return (timed[number] if number < len(timed) else None), None
    told = (run.conf or {}).get(STARTED_BY)
    if told is None and place.begin and run_type(run) == "asset_triggered":
        told = context["ti"].xcom_pull(task_ids=place.begin.task_id, key="return_value", map_indexes=-1)
    if not told:
        return None, None
    return next((one for one in place.starts if one.trigger == told["trigger"]), None), told["body"]


def run_type(run: Any) -> str:
    """Airflow's word for how a run came to be, such as ``scheduled``."""
    return str(getattr(run.run_type, "value", run.run_type))
