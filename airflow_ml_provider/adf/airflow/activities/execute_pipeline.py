"""ExecutePipeline: the run of another pipeline's DAG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call, truth
from airflow_ml_provider.adf.airflow.journal import Waiting
from airflow_ml_provider.adf.airflow.known_secrets import is_secret
from airflow_ml_provider.adf.airflow.run_ids import pipeline_run_id
from airflow_ml_provider.adf.airflow.run_origin import CALLED_BY
from airflow_ml_provider.adf.airflow.run_view import View
from airflow_ml_provider.adf.airflow.started_runs import is_paused, run_id_after, start_run
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.model import Pipeline
from airflow_ml_provider.core.errors import ConfigurationError

_ENDED = ("success", "failed")


def execute_pipeline(call: Call) -> Any:
    """Start the DAG of another pipeline, and wait for its end where ``waitOnCompletion`` says so; without it, as the SDK documents, not."""
    view = call.view
    name = str(pick(call.required("pipeline"), "referenceName"))
    dag_id, called = view.place.dag_id_of(name), view.place.pipeline_of(name)
    if dag_id is None or called is None:
        raise ConfigurationError(
            f"activity {call.activity.name!r}: pipeline {name!r} is no DAG: put its export into the same folder"
        )
    run_id = call.once("run_id", lambda: called_run_id(view))
    waits = truth(call, "waitOnCompletion", call("waitOnCompletion", False))
    if not call.once("started", lambda: False):
        _start(call, dag_id, called, run_id, waits=waits)
        call.note("started", True)
    output = {"pipelineRunId": pipeline_run_id(dag_id, run_id), "pipelineName": called.name, "dagRunId": run_id}
    if not waits:
        return output
    return {**output, "pipelineReturnValue": _outcome(call, dag_id, run_id)}


def _start(call: Call, dag_id: str, called: Pipeline, run_id: str, *, waits: bool) -> None:
    view = call.view
    if is_paused(dag_id):
        told = f"DAG {dag_id!r} of pipeline {called.name!r} is paused, so its run would not begin: unpause it"
        if waits:
            raise ConfigurationError(f"activity {call.activity.name!r}: {told}")
        call.log.warning("%s", told)
    system = view.system()
    by = {"name": system["Pipeline"], "run_id": system["RunId"], "group_id": system["GroupId"]}
    given = {name: view.secrets.sealed(value) for name, value in arguments_of(called, call("parameters", {})).items()}
    for name, one in called.parameters.items():
        if is_secret(one):
            given[name] = view.secrets.sealed(view.secrets.learn(given[name]))
    start_run(dag_id, run_id, {**given, CALLED_BY: by})


def _outcome(call: Call, dag_id: str, run_id: str) -> Any:
    """Wait for a run's end, and return what its pipeline returns."""
    view = call.view
    if (state := view.ti.get_dagrun_state(dag_id, run_id)) not in _ENDED:
        told = "Waiting for run %s of DAG %s, which is %s: a run stays queued while its DAG is paused or at its max_active_runs"
        call.log.info(told, run_id, dag_id, state)
        call.wait_for(Waiting(run=(dag_id, run_id)))
    if state == "failed":
        raise ActivityFailed(f"run {run_id!r} of DAG {dag_id!r} failed", "2108")
    returned = view.ti.xcom_pull(dag_id=dag_id, run_id=run_id, task_ids="pipeline_end", map_indexes=-1)
    return view.secrets.opened(returned) or {}


def arguments_of(pipeline: Pipeline, given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each parameter of a pipeline: the one that is given, whatever the case of its name, its default, or null."""
    by_name = {name.casefold(): value for name, value in given.items()}
    return {name: by_name.get(name.casefold(), one.default) for name, one in pipeline.parameters.items()}


def called_run_id(view: View) -> str:
    """The id of the next run that a task starts: of characters that Airflow takes, and no longer than it takes."""
    found = run_id_after(view.ti.run_id, f"{view.ti.task_id}.{view.ti.map_index}.{view.ti.try_number}.{view.serial}")
    view.serial += 1
    return found
