"""The buttons on a task's page, and that no secret is seen anywhere."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

import pytest
from airflow.sdk import DAG
from conftest import CANARY

from airflow_ml_provider.backends.memory import Cluster, MemoryService
from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.links.spark import SparkUILink


@pytest.fixture
def ui(monkeypatch):
    """A memory service whose clusters have a Spark UI."""
    look = MemoryService.look
    monkeypatch.setattr(MemoryService, "look", lambda self, id_: replace(look(self, id_), ui_url=f"http://localhost:4040/{id_}"))


def test_the_spark_ui_is_a_link_while_the_job_runs_and_after(run, service, program, deferrable, ui):
    with DAG("links", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        job = cluster.job("job", program=program)
    done = run(dag)
    (id_,) = service.clusters
    assert done.xcom("etl.job", SparkUILink.xcom_key) == f"http://localhost:4040/{id_}"
    assert [link.name for link in job.operator_extra_links] == ["Spark UI", "MLflow run", "Notebook"]


def test_the_links_survive_serialization(program):
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    with DAG("links_of_dag", schedule=None) as dag, SparkCluster("etl") as cluster:
        cluster.job("job", program=program)
        cluster.partial("mapped", program=program).expand(args=[["a"]])
    stored = {item["__var"]["task_id"]: item["__var"] for item in LazyDeserializedDAG.from_dag(dag).data["dag"]["tasks"]}
    for task_id in ("etl.job", "etl.mapped"):
        known = {"Spark UI": "spark_ui_url", "MLflow run": "mlflow_run_url", "Notebook": "notebook_url"}
        assert stored[task_id]["_operator_extra_links"] == known


def test_no_secret_of_the_connection_is_seen(run, service, program, deferrable, log):
    with DAG("canary", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        cluster.job("job", program=program, native={"result": 1})
    done = run(dag)
    assert done.state == "success"
    assert CANARY not in log()
    assert CANARY not in json.dumps([str(item) for item in done.xcoms().items()])
    assert CANARY not in json.dumps(done.rendered("etl.job"))
    from airflow.configuration import conf

    with sqlite3.connect(conf.get("database", "sql_alchemy_conn").removeprefix("sqlite:///")) as database:
        assert not any(CANARY in line for line in database.iterdump())


def test_a_jobs_xcoms_are_what_people_expect(run, service, program, deferrable):
    with DAG("xcoms", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        cluster.job("job", program=program, native={"result": {"a": 1}})
    done = run(dag)
    ((id_, made),) = service.clusters.items()
    assert isinstance(made, Cluster)
    (job,) = made.jobs
    found = {key: value for (task_id, _, key), value in done.xcoms().items() if task_id == "etl.job" and value}
    assert found == {"job": f"memory://spark_cluster_default/{id_}/{job}", "return_value": {"a": 1}}
    assert done.xcom("etl.create_cluster") == f"memory://spark_cluster_default/{id_}"
