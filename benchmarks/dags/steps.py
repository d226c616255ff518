"""The Spark steps of the DAG ``flight_delays`` with the same graph twice: on one cluster of this provider, and each by the official operator."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, Param, task

from airflow_ml_provider.cluster import SparkCluster

JOBS = Path(__file__).parents[2] / "include" / "jobs"
HEAP = os.environ.get("BENCHMARK_HEAP", "1g")
RAW, FEATURES, SCORES = (f"{{{{ params.output }}}}/{name}" for name in ("raw", "features", "scores"))
READ = ["--input", FEATURES]
ARGS = {
    "ingest": ["--output", RAW, "--days", "{{ params.days }}"],
    "validate": ["--input", RAW],
    "features": ["--input", RAW, "--output", FEATURES],
    "train_logistic": [*READ, "--kind", "logistic"],
    "train_boosted_trees": [*READ, "--kind", "boosted_trees"],
    "score": [*READ, "--output", SCORES, "--model"],
}


def dag(dag_id: str, **default_args: Any) -> DAG:
    params = {"output": Param("/nowhere", type="string"), "days": Param(0, type="integer"), "mlflow": Param("", type="string")}
    return DAG(dag_id, schedule=None, catchup=False, params=params, default_args=default_args)


def application(name: str) -> str:
    return str(JOBS / f"{name.partition('_')[0]}.py")


def order(steps: dict[str, Any]) -> None:
    trainings = [steps["train_logistic"], steps["train_boosted_trees"]]
    steps["ingest"] >> steps["validate"] >> steps["features"] >> trainings >> steps["score"]


with dag("steps_ours", mlflow_conn_id="mlflow_default"), SparkCluster("spark") as cluster:
    trained = "{{ ti.xcom_pull(task_ids='spark.train_boosted_trees')['run_id'] }}"
    order(
        {
            name: cluster.job(name, program=application(name), args=args)
            for name, args in (ARGS | {"score": [*ARGS["score"], f"runs:/{trained}/model"]}).items()
        }
    )


with dag("steps_official"):

    @task
    def tracking(params: Any = None) -> dict[str, str]:
        """A run of MLflow for each step, as this provider's jobs have."""
        from mlflow import MlflowClient

        client = MlflowClient(params["mlflow"])
        found = client.get_experiment_by_name("steps_official")
        experiment = found.experiment_id if found else client.create_experiment("steps_official")
        return {name: client.create_run(experiment, run_name=name).info.run_id for name in ARGS}

    def run_of(name: str) -> str:
        return f"{{{{ ti.xcom_pull(task_ids='tracking')['{name}'] }}}}"

    def official(name: str, args: list[str]) -> SparkSubmitOperator:
        env = {
            "MLFLOW_TRACKING_URI": "{{ params.mlflow }}",
            "MLFLOW_EXPERIMENT_NAME": "steps_official",
            "MLFLOW_RUN_ID": run_of(name),
        }
        return SparkSubmitOperator(
            task_id=name,
            application=application(name),
            application_args=args,
            driver_memory=HEAP,
            env_vars=env,
            conn_id="spark_default",
        )

    steps = {
        name: official(name, args)
        for name, args in (ARGS | {"score": [*ARGS["score"], f"runs:/{run_of('train_boosted_trees')}/model"]}).items()
    }
    order(steps)
    tracking() >> steps["ingest"]
