"""The calls of MLflow's REST API that a job's run needs, without ``import mlflow``, which costs a task seconds.

Source: https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, wait_exponential, wait_random

from airflow_ml_provider.core.errors import AccessDenied, NotFound, ServiceError, Unavailable
from airflow_ml_provider.models.failures import PASSING_STATUS, translated

_TIMEOUT = 60.0
_SHORTEST = 0.1
_ATTEMPTS = 6


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is read of an experiment."""

    experiment_id: str
    lifecycle_stage: str


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is read of a run.

    :param start_time: milliseconds since 1970.
    """

    run_id: str
    status: str
    start_time: int


@dataclass(frozen=True, slots=True)
class Run:
    """A run as ``MlflowClient`` gives it, as far as it is read."""

    info: RunInfo


class RestClient:
    """Those methods of ``MlflowClient`` that :class:`~airflow_ml_provider.models.tracking.RunClient` names, on a tracking server.

    Calls that meet a passing fault are repeated, for about a minute.

    :param uri: of the tracking server, ``http`` or ``https``.
    :param auth: login and password, or None.
    :param token: a bearer's token, or None.
    :param within: seconds from now that all calls together may take; None sets no limit.
    """

    def __init__(
        self, uri: str, auth: tuple[str, str] | None = None, token: str | None = None, *, within: float | None = None
    ) -> None:
        self._uri = uri
        self._end = None if within is None else time.monotonic() + within
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        base = f"{uri}/api/2.0/mlflow/"
        self._http = httpx.Client(base_url=base, auth=auth, headers=headers, follow_redirects=True)

    def get_experiment_by_name(self, name: str) -> Experiment | None:
        try:
            found = self._call("GET", "experiments/get-by-name", experiment_name=name)["experiment"]
        except NotFound:
            return None
        return Experiment(str(found["experiment_id"]), found["lifecycle_stage"])

    def create_experiment(self, name: str, artifact_location: str | None = None) -> str:
        place = {"artifact_location": artifact_location} if artifact_location else {}
        return str(self._call("POST", "experiments/create", name=name, **place)["experiment_id"])

    def restore_experiment(self, experiment_id: str) -> None:
        self._call("POST", "experiments/restore", experiment_id=experiment_id)

    def search_runs(self, experiment_ids: list[str], filter_string: str, max_results: int) -> list[Run]:
        asked = {"experiment_ids": experiment_ids, "filter": filter_string, "max_results": max_results}
        return [_run(found) for found in self._call("POST", "runs/search", **asked).get("runs", [])]

    def get_run(self, run_id: str) -> Run:
        return _run(self._call("GET", "runs/get", run_id=run_id)["run"])

    def create_run(self, experiment_id: str, *, run_name: str, tags: dict[str, Any]) -> Run:
        pairs = [{"key": key, "value": value} for key, value in tags.items()]
        asked = {"experiment_id": experiment_id, "run_name": run_name, "start_time": _now(), "tags": pairs}
        return _run(self._call("POST", "runs/create", **asked)["run"])

    def update_run(self, run_id: str, status: str) -> None:
        self._call("POST", "runs/update", run_id=run_id, status=status)

    def set_terminated(self, run_id: str, status: str) -> None:
        self._call("POST", "runs/update", run_id=run_id, status=status, end_time=_now())

    def delete_run(self, run_id: str) -> None:
        self._call("POST", "runs/delete", run_id=run_id)

    def _call(self, method: str, path: str, **fields: Any) -> dict[str, Any]:
        waits = wait_exponential(multiplier=0.5, max=20) + wait_random(0, 1)
        again = Retrying(
            retry=retry_if_exception_type(Unavailable),
            stop=lambda state: state.attempt_number >= _ATTEMPTS or self._left() <= state.upcoming_sleep,
            wait=waits,
            reraise=True,
        )
        return dict(again(self._once, method, path, fields))

    def _left(self) -> float:
        """Seconds that the calls may still take."""
        return math.inf if self._end is None else self._end - time.monotonic()

    def _once(self, method: str, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        sent: dict[str, Any] = {"params": fields} if method == "GET" else {"json": fields}
        timeout = min(_TIMEOUT, max(self._left(), _SHORTEST))
        with translated(self._uri):
            answer = self._http.request(method, path, timeout=timeout, **sent)
        if not answer.is_success:
            raise _error(self._uri, path, answer)
        try:
            return dict(answer.json())
        except (ValueError, TypeError):
            raise ServiceError(
                f"MLflow at {self._uri}, {path}: the answer is not a JSON object: is this a tracking server?"
            ) from None


def _error(uri: str, path: str, answer: httpx.Response) -> ServiceError:
    words = f"MLflow at {uri}, {path}: {answer.status_code} {_message(answer)}"
    if answer.status_code in PASSING_STATUS:
        return Unavailable(words)
    if answer.status_code in (401, 403):
        return AccessDenied(f"{words}: the connection's login and password must open it")
    return NotFound(words) if answer.status_code == 404 else ServiceError(words)


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip()[:200]


def _run(found: Mapping[str, Any]) -> Run:
    info = found["info"]
    return Run(RunInfo(info["run_id"], info["status"], int(info["start_time"])))


def _now() -> int:
    return time.time_ns() // 1_000_000
