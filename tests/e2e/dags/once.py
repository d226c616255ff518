"""DAGs whose tasks lose their processes at the worst moments. Each waits for files that a test makes in ``params.folder``."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param

from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.registry import backend_class
from airflow_ml_provider.operators.spark_job import SparkJobOperator

PROGRAM = "../programs/waits.py"
OFTEN = os.environ.get("ONCE_POLL_INTERVAL")
"""Seconds between looks, where those that suit the service are too many for a test."""
SMALL: dict[str, Any] = {"driver": {"cores": 1, "memory": "512m"}}


def die_once(folder: str, task: str) -> None:
    """Kill this process as a machine's end does, the first time only."""
    mark = Path(folder, f"{task}.died")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class DiesAfterSubmit(SparkJobOperator):
    """The service has answered; the operator has noted nothing."""

    def execute(self, context: Any) -> Any:
        self._prepare_to_die(context)
        return super().execute(context)

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> Any:
        self._prepare_to_die(context)
        return super().execute_complete(context, event)

    def _prepare_to_die(self, context: Any) -> None:
        kind: Any = backend_class(Handle.parse(self.cluster).backend)
        submit, folder, task = kind.submit, context["params"]["folder"], self.task_id

        def and_die(backend: Any, *args: Any, **kwargs: Any) -> str:
            job: str = submit(backend, *args, **kwargs)
            die_once(folder, task)
            return job

        kind.submit = and_die


class DiesBeforeReporting(SparkJobOperator):
    """The job has succeeded; Airflow does not know."""

    def execute(self, context: Any) -> Any:
        result = super().execute(context)
        die_once(context["params"]["folder"], self.task_id)
        return result

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> Any:
        result = super().execute_complete(context, event)
        die_once(context["params"]["folder"], self.task_id)
        return result


def dag(dag_id: str) -> DAG:
    return DAG(
        dag_id,
        schedule=None,
        catchup=False,
        params={"folder": Param("/nowhere", type="string")},
        # One try is the test's to take; the others are for a machine so busy that Airflow misses a heartbeat.
        default_args={"retries": 3, "retry_delay": timedelta(seconds=0.1), "mlflow_conn_id": "mlflow_default"},
    )


def job(
    cluster: SparkCluster, name: str, *, failures: int = 0, kind: type[SparkJobOperator] = SparkJobOperator, **fields: Any
) -> Any:
    args = ["{{ params.folder }}", name, str(failures)]
    often = {"poll_interval": float(OFTEN)} if OFTEN else {}
    return kind(task_id=name, cluster=cluster.handle, program=PROGRAM, args=args, **often, **fields)


with dag("once"), SparkCluster("spark", **SMALL) as cluster:
    for mode, deferrable in (("sync", False), ("deferred", True)):
        job(cluster, f"after_submit_{mode}", kind=DiesAfterSubmit, deferrable=deferrable)
        job(cluster, f"before_reporting_{mode}", kind=DiesBeforeReporting, deferrable=deferrable)
        job(cluster, f"fails_once_{mode}", failures=1, deferrable=deferrable)
        job(cluster, f"cleared_{mode}", deferrable=deferrable)
        job(cluster, f"marked_{mode}", deferrable=deferrable)
    job(cluster, "while_running", deferrable=False)
    job(cluster, "outlives_triggerer", deferrable=True)

with dag("marked_run"), SparkCluster("spark", **SMALL) as cluster:
    for mode, deferrable in (("sync", False), ("deferred", True)):
        job(cluster, f"marked_{mode}", deferrable=deferrable)
