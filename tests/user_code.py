"""A DAG file as a user writes it, for mypy: `make check` reads it, nothing runs it.

Each `type: ignore` stands on a mistake. mypy is strict about ignores that are not needed, so it fails where a mistake is let through.
"""

from __future__ import annotations

from datetime import timedelta

from airflow_ml_provider import (
    GitSource,
    Maven,
    Mount,
    Node,
    Notebook,
    PyPI,
    RegisterModelOperator,
    SparkCluster,
    SparkJar,
    SparkJobOperator,
    Sql,
    spark_job,
)

FLIGHTS = Mount("flights", "s3://bucket/flights", "aws_default")

with SparkCluster(
    "etl",
    workers=2,
    worker=Node(cores=4, memory="8g"),
    mounts=[FLIGHTS, "weather"],
    libraries=["pandas==2.2", PyPI("holidays==0.60"), Maven("org.postgresql:postgresql:42.7.4")],
    idle_timeout="10m",
    max_lifetime=timedelta(hours=2),
    mlflow_conn_id="mlflow_default",
    tooltip="the nightly load",
) as cluster:
    ingest = cluster.job("ingest", program="jobs/ingest.py", args=["{{ ds }}"], retries=2)
    tidy = cluster.job("tidy", program=Sql(text="SELECT 1"), timeout="1h")
    explore = cluster.job("explore", program=Notebook(path="explore.py"), git=GitSource(url="https://host/repository"))
    jar = cluster.job("jar", program=SparkJar(jar="etl.jar", main_class="etl.Main"), execution_timeout=timedelta(hours=1))
    each = cluster.partial("each", program="jobs/one.py").expand(args=[["a"], ["b"]])
    after: SparkJobOperator = ingest

    @spark_job(cluster=cluster, libraries=["holidays"], deferrable=True)
    def count(spark: object, table: str) -> int:
        return len(table)

    cluster.job("misspelt", programm="jobs/ingest.py")  # type: ignore[call-arg]
    cluster.job("no_program")  # type: ignore[call-arg]
    cluster.job("wrong_type", program="jobs/ingest.py", retries="two")  # type: ignore[arg-type]
    cluster.job("wrong_items", program="jobs/ingest.py", files=[1])  # type: ignore[list-item]
    cluster.partial("misspelt_partly", progam="x.py")  # type: ignore[call-arg]

    @spark_job(cluster=cluster, librarys=["holidays"])  # type: ignore[call-arg]
    def misspelt() -> int:
        return 1


SparkCluster("etl", worker=3)  # type: ignore[arg-type]
SparkCluster("etl", idle_timeot="10m")  # type: ignore[call-arg]
RegisterModelOperator(task_id="register")  # type: ignore[call-arg]
