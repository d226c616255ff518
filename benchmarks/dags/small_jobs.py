"""One small job, by this provider on a cluster that runs and by the official operator, in turn. The first of each warms up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, chain

from airflow_ml_provider.cluster import SparkCluster

REPEATS = int(os.environ.get("BENCHMARK_REPEATS", "5"))
COUNT = Path(__file__).parents[1] / "programs" / "count.py"

with DAG("small_jobs", schedule=None, catchup=False), SparkCluster("spark") as cluster:
    steps: list[Any] = []
    for number in range(REPEATS + 1):
        steps.append(cluster.job(f"ours_{number}", program=str(COUNT)))
        steps.append(SparkSubmitOperator(task_id=f"official_{number}", application=str(COUNT), conn_id="spark_default"))
    chain(*steps)
