"""A DAG for storms: a cluster with jobs that wait in a worker, in the triggerer, and that fail the first time.

``STORM_BACKEND`` says what runs them: a service that runs programs, or ``memory``, which is told what they would hand back.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param

from airflow_ml_provider.cluster import SparkCluster

WHO = "{{ run_id }}"
PROGRAM = "../programs/notes.py"


def job(cluster: SparkCluster, name: str, seconds: float, *, failures: int = 0, **fields: Any) -> Any:
    scripted = os.environ["STORM_BACKEND"] == "memory"
    result = {"who": WHO, "name": name, "secret": ""}
    native = {"steps": int(seconds / 0.5), "result": result, "log": [f"{name}: a line"] * 50} if scripted else None
    args = ["{{ params.folder }}", name, str(seconds), str(failures)]
    return cluster.job(name, program=PROGRAM, args=args, env={"WHO": WHO}, native=native, poll_interval=0.5, **fields)


with (
    DAG(
        "storm",
        schedule=None,
        catchup=False,
        max_active_runs=int(os.environ.get("STORM_AT_ONCE", "6")),
        params={"folder": Param("/nowhere", type="string")},
        # A storm takes many tries.
        default_args={"retries": 40, "retry_delay": timedelta(seconds=1), "retry_exponential_backoff": False},
    ),
    SparkCluster("spark", driver={"cores": 1, "memory": "512m"}) as cluster,
):
    job(cluster, "waits", 4, deferrable=False)
    job(cluster, "deferred", 8, deferrable=True, mlflow_conn_id="mlflow_default")
    job(cluster, "fails_once", 3, failures=1, deferrable=True)
