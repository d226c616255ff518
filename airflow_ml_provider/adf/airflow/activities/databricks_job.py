"""Databricks jobs in a run: the values of their parameters, and what their references stand for."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call
from airflow_ml_provider.adf.airflow.run_state import RECORD
from airflow_ml_provider.adf.airflow.run_view import View
from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.expressions import databricks_references
from airflow_ml_provider.adf.model import HALF_A_DAY, Activity, Job, JobTask
from airflow_ml_provider.adf.support.databricks_jobs import CONDITION, RUN_JOB, as_text, listed_in
from airflow_ml_provider.adf.support.spark_programs import PUSHED_DOWN
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.operators.notebooks import TASK_VALUES

_ORDERS = {
    "GREATER_THAN": operator.gt,
    "GREATER_THAN_OR_EQUAL": operator.ge,
    "LESS_THAN": operator.lt,
    "LESS_THAN_OR_EQUAL": operator.le,
}


def job_run(call: Call, job: Job) -> dict[str, Any]:
    """What the job's tasks ask for: ``at``, its beginning, ``until``, when no task begins any more, ``about`` it, and ``parameters``."""
    now = datetime.now(UTC)
    about = {"id": job.id, "name": job.name, "run_id": str(call.view.ti.run_id)}
    run = {"at": now.isoformat(), "until": now.timestamp() + job.timeout, "about": about}
    is_task = call.activity.task is not None
    asked = task_properties(call.view, call.activity).get("job_parameters") if is_task else call("jobParameters")
    given = {str(name): as_text(value) for name, value in (asked or {}).items()}
    defaults = databricks_references.filled(dict(job.parameters), lambda parts: _of_job(parts, run))
    return {**run, "parameters": {**defaults, **given}}


def task_properties(view: View, activity: Activity) -> dict[str, Any]:
    """The fields of a task with their values, the job's parameters among its own.

    :raises ActivityFailed: the job's timeout has passed.
    """
    task = activity.task
    assert task is not None
    run = _run_of(view, task)
    if datetime.now(UTC).timestamp() > run["until"]:
        raise ActivityFailed(f"task {task.key!r}: the timeout of job {run['about']['id']} has passed since {run['at']}")
    found: dict[str, Any] = databricks_references.filled(
        dict(activity.type_properties), lambda parts: _value(parts, view, task, run)
    )
    field = "job_parameters" if activity.type == RUN_JOB else PUSHED_DOWN.get(activity.type)
    if field and (field != "named_parameters" or found.get(field)):
        found[field] = {**(found.get(field) or {}), **run["parameters"]}
    return found


def timeout_of(activity: Activity) -> float:
    """Seconds that a task has."""
    return seconds_of(activity.policy.timeout) or HALF_A_DAY


def inputs_of(call: Call) -> list[Any]:
    """The items of a For each."""
    return listed_in(task_properties(call.view, call.activity)["inputs"], f"activity {call.activity.name!r}")


def condition(call: Call) -> dict[str, str]:
    """Compare two texts, or by their order two numbers, as Databricks does."""
    found = task_properties(call.view, call.activity)
    left, right = as_text(found.get("left")), as_text(found.get("right"))
    if found["op"] in ("EQUAL_TO", "NOT_EQUAL"):
        return {"outcome": str((left == right) == (found["op"] == "EQUAL_TO")).lower()}
    try:
        return {"outcome": str(_ORDERS[found["op"]](float(left), float(right))).lower()}
    except ValueError:
        raise SpecError(f"condition_task: got {left!r} {found['op']} {right!r}: takes numbers") from None


def taken(view: View, tasks: Sequence[Activity]) -> dict[str, str]:
    """What the conditions among tasks of a job came to, by name."""
    names = [one.name for one in tasks if one.type == CONDITION]
    return {name: found for name in names if (found := (view.record(name).get("output") or {}).get("outcome"))}


def job_output(view: View, tasks: Sequence[Activity]) -> dict[str, Any]:
    """``activity('…').output`` of a job: what each task that has ended handed back."""
    outputs = {task.task.key: view.record(task.name).get("output") or {} for task in tasks if task.task}
    return {"runId": str(view.ti.run_id), "tasks": outputs}


def _run_of(view: View, task: JobTask) -> dict[str, Any]:
    if task.job in view.jobs:
        return view.jobs[task.job]
    found: dict[str, Any] = (view.pull(view.place.enters[task.job], RECORD) or {})["job"]
    return found


def _of_item(keys: list[str], item: Any) -> str | None:
    for key in keys:
        if not isinstance(item, Mapping) or key not in item:
            return None
        item = item[key]
    return as_text(item)


def _of_job(parts: list[str], run: Mapping[str, Any]) -> str | None:
    match parts:
        case ["job", ("id" | "name" | "run_id") as fact]:
            return str(run["about"][fact])
        case ["job", "start_time", form]:
            return databricks_references.time_of(run["at"], form)
        case ["job", "parameters", name]:
            return (run.get("parameters") or {}).get(name)
    return None


def _value(parts: list[str], view: View, task: JobTask, run: Mapping[str, Any]) -> str | None:
    match parts:
        case ["task", "name"]:
            return task.key
        case ["input", *keys] if task.loop:
            return _of_item(keys, view.current_item())
        case ["tasks", key, "values", name]:
            spot = view.place.results.get(f"{task.job} / {key}")
            values = (
                view.values.get(f"{task.job} / {key}") if task.job in view.jobs else spot and view.pull(spot, TASK_VALUES)
            ) or {}
            return as_text(values[name]) if name in values else None
    return _of_job(parts, run)
