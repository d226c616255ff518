"""From a run's logged model to a version in the registry, and no second one for the same run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
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
    :param metrics: by name, as the job reported them: not only numbers.
    """

    run_id: str
    metrics: Mapping[str, Any]

    @classmethod
    def parse(cls, value: Any) -> Candidate:
        """From a run's id, or a job's result ``{"run_id": ..., "metrics": {name: value}}``."""
        if isinstance(value, str) and value:
            return cls(value, {})
        if not isinstance(value, Mapping) or not isinstance(value.get("run_id"), str):
            raise SpecError(f'candidates: got {value!r}: takes a run id or {{"run_id": ..., "metrics": {{...}}}}')
        return cls(value["run_id"], dict(value.get("metrics") or {}))


def best_candidate(candidates: Iterable[Candidate], metric: str | None, *, greater_is_better: bool = True) -> Candidate:
    """Return the candidate with the best metric, the first of equals.

    NaN and None lose against every number. Infinities are numbers.

    :raises SpecError: a candidate has no such metric, or it is no number, such as text or a truth; or no candidate has a number.
    """
    found = list(candidates)
    if not found:
        raise SpecError("candidates: got none: takes at least one")
    if len(found) == 1 and (not metric or metric not in found[0].metrics):
        return found[0]
    if not metric:
        raise SpecError(f"metric: is required to choose from {len(found)} candidates")
    numbers = [(value, one) for one in found if (value := _metric(one, metric)) is not None]
    if not numbers:
        runs = ", ".join(f"{one.run_id} ({one.metrics[metric]})" for one in found)
        raise SpecError(f"metric: no candidate has a number for {metric!r}: {runs}")
    sign = 1 if greater_is_better else -1
    return max(numbers, key=lambda pair: sign * pair[0])[1]


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


def _metric(candidate: Candidate, metric: str) -> float | None:
    """The candidate's metric as a number; None for None and NaN."""
    if metric not in candidate.metrics:
        raise SpecError(f"metric: run {candidate.run_id} reported no {metric!r}: it has {_names(candidate.metrics)}")
    value = candidate.metrics[metric]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        got = f"got {value!r} of type {type(value).__name__}"
        raise SpecError(f"metric: run {candidate.run_id} reported {metric!r}: {got}: expected a number, NaN or None")
    return None if math.isnan(value) else float(value)


def _names(metrics: Mapping[str, Any]) -> str:
    return ", ".join(sorted(metrics)) or "none"
