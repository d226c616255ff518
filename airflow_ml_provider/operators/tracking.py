"""What a job's operator tells MLflow; nothing without a connection."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_ml_provider.operators.context import job_tags, run_key, run_name

if TYPE_CHECKING:
    from airflow_ml_provider.hooks.mlflow import MLflowHook

log = logging.getLogger(__name__)
_NO_TAGS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Tracked:
    """A job's run in MLflow, or nothing.

    :param env: what the program finds in its environment.
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
        """
        if not self.mlflow_conn_id:
            return Tracked()
        hook = self._hook()
        run = hook.start_job_run(
            experiment=self.experiment or context["ti"].dag_id,
            dag_run_key=run_key(context),
            parent_name=run_name(context),
            job_token=token,
            job_name=name,
            tags={**job_tags(context, cluster), **tags},
        )
        env, secrets = hook.environment(run)
        return Tracked(run.run_id, run.url, env, secrets)

    def end(self, run_id: str | None, *, succeeded: bool) -> None:
        """Close the run. A fault is logged: it must not change what became of the job."""
        if not self.mlflow_conn_id or not run_id:
            return
        try:
            self._hook().end_job_run(run_id, succeeded)
        except Exception:
            log.exception("MLflow run %s could not be ended", run_id)

    def _hook(self) -> MLflowHook:
        from airflow_ml_provider.hooks.mlflow import MLflowHook

        return MLflowHook(self.mlflow_conn_id or "")
