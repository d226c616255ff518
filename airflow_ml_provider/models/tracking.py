"""The runs of a DAG run: one parent, and under it one run per job, each found again by a tag whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

DAG_RUN_TAG = "airflow_ml.dag_run"
JOB_TAG = "airflow_ml.job"
_PARENT_TAG = "mlflow.parentRunId"
_FOUND_AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class JobRun:
    """The MLflow run of one job.

    :param url: its page in MLflow; empty when nobody serves one.
    """

    run_id: str
    parent_run_id: str
    experiment_name: str
    url: str = ""


class RunClient(Protocol):
    """What is asked of MLflow here: ``MlflowClient`` does it, and so does :class:`~airflow_ml_provider.models.rest.RestClient`."""

    def get_experiment_by_name(self, name: str) -> Any: ...
    def create_experiment(self, name: str, artifact_location: str | None = None) -> str: ...
    def restore_experiment(self, experiment_id: str) -> None: ...
    def search_runs(self, experiment_ids: list[str], filter_string: str, *, max_results: int) -> Any: ...
    def get_run(self, run_id: str) -> Any: ...
    def create_run(self, experiment_id: str, *, run_name: str, tags: dict[str, Any]) -> Any: ...
    def update_run(self, run_id: str, status: str) -> None: ...
    def set_terminated(self, run_id: str, status: str) -> None: ...
    def delete_run(self, run_id: str) -> None: ...


def experiment_id(client: RunClient, name: str, artifact_location: str | None = None) -> str:
    """The experiment's id; it is made when there is none, with its artifacts at ``artifact_location``."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_location))
        except Exception:  # raised again unless somebody else made it at the same moment
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def parent_run(client: RunClient, experiment: str, dag_run_key: str, name: str) -> str:
    """The id of the DAG run's own run, made or opened again if need be.

    :param experiment: the experiment's id.
    """
    run = _run(client, experiment, DAG_RUN_TAG, dag_run_key, name, {})
    if run.info.status != "RUNNING":
        client.update_run(run.info.run_id, status="RUNNING")
    return str(run.info.run_id)


def job_run(client: RunClient, experiment: str, parent: str, token: str, name: str, tags: Mapping[str, str]) -> str:
    """The id of a job's run under its parent, made if need be. An existing one keeps its state.

    :param token: the job's identity.
    """
    return str(_run(client, experiment, JOB_TAG, token, name, {_PARENT_TAG: parent, **tags}).info.run_id)


def end_run(client: RunClient, run_id: str, *, succeeded: bool) -> None:
    """Close a run; one that has ended that way stays as it is."""
    status = "FINISHED" if succeeded else "FAILED"
    if client.get_run(run_id).info.status != status:
        client.set_terminated(run_id, status=status)


def end_parent(client: RunClient, experiment_name: str, dag_run_key: str, *, succeeded: bool) -> None:
    """Close the DAG run's own run, if there is one, and mark what still runs under it as killed."""
    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        return
    id_ = str(experiment.experiment_id)
    for parent in _find(client, id_, DAG_RUN_TAG, dag_run_key)[:1]:
        for child in _find(client, id_, _PARENT_TAG, parent.info.run_id):
            if child.info.status == "RUNNING":
                client.set_terminated(child.info.run_id, status="KILLED")
        end_run(client, parent.info.run_id, succeeded=succeeded)


def _run(client: RunClient, experiment: str, tag: str, value: str, name: str, tags: Mapping[str, str]) -> Any:
    """The run with this tag. Of two that made one at once, both take the older and the other is deleted by its maker."""
    if found := _find(client, experiment, tag, value):
        return found[0]
    made = client.create_run(experiment, run_name=name, tags={**tags, tag: value})
    first = next(iter(_find(client, experiment, tag, value)), made)
    if first.info.run_id != made.info.run_id:
        client.delete_run(made.info.run_id)
    return first


def _find(client: RunClient, experiment: str, tag: str, value: str) -> list[Any]:
    """The runs with this tag, oldest first."""
    found = client.search_runs([experiment], f"tags.`{tag}` = '{value}'", max_results=_FOUND_AT_MOST)
    return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))
