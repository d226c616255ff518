"""What a job's operator tells MLflow; nothing without a connection.

Tracking is best effort: a fault of MLflow delays a task by half a minute at most when a job begins, and again when it ends, and never
fails it. A connection that is missing or wrong fails the task at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.operators.base import insist
from airflow_ml_provider.operators.context import job_tags, run_key, run_name

if TYPE_CHECKING:
    from airflow_ml_provider.hooks.mlflow import MLflowHook

log = logging.getLogger(__name__)
_NO_TAGS: Mapping[str, str] = {}
T = TypeVar("T")
_failed: set[tuple[str, str]] = set()
"""Connections and attempts of tasks for which MLflow failed: earlier generations of a job must not each wait for it."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A job's run in MLflow, or nothing.

    :param run_id: None without a run.
    :param env: what the program finds in its environment: without a run, still the server's address and the experiment's name.
    :param secrets: the same, for what may appear in no plan.
    """

    run_id: str | None = None
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tracking:
    """The tracking of one task's jobs.

    :param mlflow_conn_id: None tracks nothing.
    :param experiment: by default the DAG's id.
    """

    mlflow_conn_id: str | None
    experiment: str | None

    def start(
        self, context: Mapping[str, Any], *, token: str, name: str, cluster: str, tags: Mapping[str, str] = _NO_TAGS
    ) -> Tracked:
        """The run of the job with this token; the same one whenever it is asked for.

        :param tags: more than every job has.
        :raises ConfigurationError: the connection is missing or wrong.
        """
        if not self.mlflow_conn_id:
            return Tracked()
        hook, experiment, run = self._hook(), self.experiment or context["ti"].dag_id, None
        insist(lambda: hook.connection, log=log)
        attempt = (self.mlflow_conn_id, _attempt(context))
        start = partial(
            hook.start_job_run,
            experiment=experiment,
            dag_run_key=run_key(context),
            parent_name=run_name(context),
            job_token=token,
            job_name=name,
            tags={**job_tags(context, cluster), **tags},
        )
        if attempt not in _failed:
            run = self._best_effort(start, f"the job {name!r} runs without an MLflow run", but=ConfigurationError)
        if run is None:
            _failed.add(attempt)
        env, secrets = hook.environment(experiment, run.run_id if run else None)
        return Tracked(run.run_id if run else None, run.url if run else "", env, secrets)

    def end(self, run_id: str | None, *, succeeded: bool) -> None:
        """Close the run."""
        if self.mlflow_conn_id and run_id:
            self._best_effort(lambda: self._hook().end_job_run(run_id, succeeded), f"the MLflow run {run_id} stays open")

    def end_parent(self, context: Mapping[str, Any], *, succeeded: bool) -> None:
        """Close the DAG run's own run, and what still runs under it."""
        if self.mlflow_conn_id:
            name, key = self.experiment or context["ti"].dag_id, run_key(context)
            consequence = f"the MLflow run of the DAG run {context['ti'].run_id} stays open"
            end = lambda: self._hook().end_parent_run(experiment=name, dag_run_key=key, succeeded=succeeded)  # noqa: E731
            self._best_effort(end, consequence)

    def _best_effort(self, call: Callable[[], T], consequence: str, but: type[Exception] | tuple[()] = ()) -> T | None:
        """The call's answer; None, with one warning, when MLflow fails.

        :param but: an error that is raised all the same.
        """
        try:
            return call()
        except but:
            raise
        except Exception as error:  # noqa: BLE001 - whatever MLflow does must not change what becomes of the job
            log.warning("MLflow connection %s: %s: %s", self.mlflow_conn_id, consequence, error)
            return None

    def _hook(self) -> MLflowHook:
        from airflow_ml_provider.hooks.mlflow import MLflowHook

        return MLflowHook(self.mlflow_conn_id or "")


def _attempt(context: Mapping[str, Any]) -> str:
    ti = context["ti"]
    return "/".join(map(str, (ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number)))
