"""What a notebook's task adds to a job: secrets by reference, values of the tasks before it, XComs from those that it sets."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_ml_provider.core.errors import ConfigurationError, SpecError
from airflow_ml_provider.core.programs import Notebook, Shipped
from airflow_ml_provider.core.spec import JobSpec
from airflow_ml_provider.models.notebooks import AGAIN_TAG, PATH_TAG, REVISION_TAG, USER_TAG, sources
from airflow_ml_provider.operators.base import insist

log = logging.getLogger(__name__)
TASK_VALUES = "task_values"
"""The XCom of everything that a notebook has set; each value is one of its own too."""


def with_text(spec: JobSpec, mlflow_conn_id: str | None) -> JobSpec:
    """The job with all text that its notebook ships, read this once: that of now, or of the run that ``revision`` names.

    :raises SpecError: it cannot be read.
    :raises ConfigurationError: MLflow knows no such run, or it keeps no notebook.
    """
    program = spec.program
    if not isinstance(program, Notebook):
        return spec
    from airflow_ml_provider.core.notebooks import shipped

    found = _of_then(program.revision, mlflow_conn_id) if program.revision else shipped(program)
    return spec.model_copy(update={"program": program.model_copy(update={"shipped": found})})


def _of_then(run_id: str, mlflow_conn_id: str | None) -> Shipped:
    if not mlflow_conn_id:
        raise SpecError(f"Notebook.revision: got {run_id!r}: takes a task with mlflow_conn_id: the text is kept in MLflow")
    from airflow_ml_provider.hooks.mlflow import MLflowHook

    return Shipped(**insist(lambda: MLflowHook(mlflow_conn_id).ask(lambda client: sources(client, run_id)), log=log))


def is_of_then(spec: JobSpec) -> bool:
    """True for a notebook with the text of an earlier run: where the program lies now tells nothing of it."""
    return isinstance(spec.program, Notebook) and bool(spec.program.revision)


def tags_of(spec: JobSpec, context: Mapping[str, Any]) -> dict[str, str]:
    """What the MLflow run of a notebook tells of it; nothing for other programs."""
    program = spec.program
    if not isinstance(program, Notebook):
        return {}
    from airflow_ml_provider.core.notebooks import revision_of, shipped_text

    user = getattr(context["dag_run"], "triggering_user_name", None) or getattr(context["task"], "owner", "")
    path = program.path or shipped_text(program)[0]
    again = {AGAIN_TAG: program.revision} if program.revision else {}
    return {PATH_TAG: path, REVISION_TAG: revision_of(program), USER_TAG: str(user), **again}


def secrets_of(spec: JobSpec, context: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The variables that may appear in no plan: a notebook's secrets, and what tasks before it have set.

    :param values: what was set in this task, by task.
    :raises ConfigurationError: a reference leads nowhere.
    """
    program = spec.program
    if not isinstance(program, Notebook):
        return {}
    from airflow_ml_provider.core.notebooks import shipped_text

    found: dict[str, Any] = {"AIRFLOW_ML_SECRETS": {name: _resolved(name, place) for name, place in program.secrets.items()}}
    if "taskValues" in shipped_text(program)[1]:
        found["AIRFLOW_ML_TASK_VALUES"] = {**_set_before(context), **(values or {})}
    return {name: json.dumps(value) for name, value in found.items() if value}


def hand_on(result: Any, ti: Any) -> Any:
    """Push what the notebook has set as XComs; what it handed to ``exit``."""
    if not isinstance(result, Mapping):
        return result
    values = result.get("task_values") or {}
    if values:
        ti.xcom_push(key=TASK_VALUES, value=values)
    for key, value in values.items():
        ti.xcom_push(key=key, value=value)
    return result.get("exit")


def page_of(spec: JobSpec, run_url: str) -> str:
    """Where MLflow shows the executed notebook; empty without a page or for other programs."""
    if not run_url or not isinstance(spec.program, Notebook):
        return ""
    from airflow_ml_provider.core.notebooks import shipped_text

    return f"{run_url}/artifacts/notebook/{Path(shipped_text(spec.program)[0]).stem}.html"


def _set_before(context: Mapping[str, Any]) -> dict[str, Any]:
    """Task values by task, under its whole id and under its name in its group; under the groups around it where no task has the name."""
    found: dict[str, Any] = {}
    around: dict[str, Any] = {}
    for task_id in sorted(context["task"].get_flat_relative_ids(upstream=True)):
        values = context["ti"].xcom_pull(task_ids=task_id, key=TASK_VALUES)
        if isinstance(values, Mapping):
            *groups, name = task_id.split(".")
            found[name] = found[task_id] = dict(values)
            around |= {group: dict(values) for group in groups}
    return {**around, **found}


def _resolved(name: str, reference: str) -> str:
    kind, _, place = reference.partition(":")
    value = _variable(place) if kind == "variable" else _of_connection(*place.split("/", 1))
    if value is None or value == "":
        raise ConfigurationError(f"Notebook.secrets.{name}: got {reference!r}: there is no such value in Airflow: create it")
    return str(value)


def _variable(name: str) -> Any:
    from airflow.sdk import Variable

    from airflow_ml_provider.hooks.given import given

    with given(f"variable {name!r}"):
        return Variable.get(name, default=None)


def _of_connection(conn_id: str, field: str) -> Any:
    from airflow.sdk.bases.hook import BaseHook

    from airflow_ml_provider._compat import AirflowNotFoundException
    from airflow_ml_provider.hooks.given import given

    try:
        with given(f"connection {conn_id!r}"):
            connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return None
    if field.startswith("extra."):
        return connection.extra_dejson.get(field.removeprefix("extra."))
    return connection.get_uri() if field == "uri" else getattr(connection, field)
