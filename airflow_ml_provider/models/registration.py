"""From a run's logged model to a version in the registry, and no second one for the same run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ml_provider.core.errors import NotFound, SpecError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained model as its job reported it.

    :param run_id: the MLflow run that logged it.
    :param metrics: by name.
    """

    run_id: str
    metrics: Mapping[str, float]

    @classmethod
    def parse(cls, value: Any) -> Candidate:
        """From a run's id, or a job's result ``{"run_id": ..., "metrics": {name: value}}``."""
        if isinstance(value, str) and value:
            return cls(value, {})
        if not isinstance(value, Mapping) or not isinstance(value.get("run_id"), str):
            raise SpecError(f'candidates: got {value!r}: takes a run id or {{"run_id": ..., "metrics": {{...}}}}')
        return cls(value["run_id"], dict(value.get("metrics") or {}))


def best_candidate(candidates: Iterable[Candidate], metric: str | None, *, greater_is_better: bool = True) -> Candidate:
    """The candidate with the best metric, the first of equals; :class:`SpecError` when one has no such metric."""
    found = list(candidates)
    if not found:
        raise SpecError("candidates: got none: takes at least one")
    if len(found) == 1:
        return found[0]
    if not metric:
        raise SpecError(f"metric: is required to choose from {len(found)} candidates")
    for one in found:
        if metric not in one.metrics:
            raise SpecError(f"metric: run {one.run_id} reported no {metric!r}: it has {_names(one.metrics)}")
    sign = 1 if greater_is_better else -1
    return max(found, key=lambda one: sign * one.metrics[metric])


def register(client: MlflowClient, name: str, run_id: str, tags: Mapping[str, str] | None = None) -> ModelVersion:
    """The version of the run's logged model, registered unless it is already.

    :raises NotFound: the run logged no model.
    """
    _ensure_model(client, name)
    if found := _versions(client, name, run_id):
        return found[0]
    model = logged_model(client, run_id)
    source, id_ = model.artifact_location, model.model_id
    made = client.create_model_version(name, source=source, run_id=run_id, tags=dict(tags or {}), model_id=id_)
    first = next(iter(_versions(client, name, run_id)), made)
    if int(first.version) != int(made.version):
        client.delete_model_version(name, str(made.version))
    return first


def logged_model(client: MlflowClient, run_id: str) -> LoggedModel:
    """The last model that a run logged; :class:`NotFound` when it logged none."""
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    if not found:
        raise NotFound(f"MLflow run {run_id} logged no model: have the job log one, such as with mlflow.spark.log_model")
    return max(found, key=lambda model: (model.creation_timestamp, model.model_id))


def _ensure_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _versions(client: MlflowClient, name: str, run_id: str) -> list[ModelVersion]:
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    return sorted(found, key=lambda version: int(version.version))


def _names(metrics: Mapping[str, float]) -> str:
    return ", ".join(sorted(metrics)) or "none"
