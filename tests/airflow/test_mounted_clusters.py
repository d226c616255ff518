"""Clusters with mounts from a DAG: connections are resolved at run time, and a source that is not there is told before anything starts."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import DAG
from conftest import CANARY

from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import Mount
from airflow_ml_provider.operators.spark_cluster import CreateSparkClusterOperator


@pytest.fixture
def connections(monkeypatch, seaweedfs):
    """An S3 server and a bucket in it, behind ``store``, and mounts by connection."""
    aws = {**seaweedfs.connection, "extra": {**seaweedfs.connection["extra"], "unused": CANARY}}
    mount = {"conn_type": "mount", "extra": {"source": "s3://clusters/raw", "credentials_conn_id": "store"}}
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps(aws))
    monkeypatch.setenv("AIRFLOW_CONN_RAW", json.dumps(mount))
    if "clusters" not in {bucket["Name"] for bucket in seaweedfs.client().list_buckets()["Buckets"]}:
        seaweedfs.make("clusters")
    return seaweedfs


def test_mounts_reach_the_cluster_and_their_secrets_nothing_else(run, service, program, connections, tmp_path, log):
    mounts = [
        "raw",
        {"name": "out", "source": "{{ dag.params['where'] }}"},
        {"name": "more", "source": "s3://clusters", "conn_id": "store"},
    ]
    params = {"where": f"{tmp_path}/out"}
    with DAG("mounted", schedule=None, params=params) as dag, SparkCluster("etl", mounts=mounts) as cluster:
        cluster.job("job", program=program)
    done = run(dag)
    assert done.state == "success"
    (made,) = service.clusters.values()
    links = {key.rpartition("/")[2]: value for key, value in made.plan["spark_conf"].items() if ".link." in key}
    assert links == {"raw": "s3a://clusters/raw", "out": f"file://{tmp_path}/out", "more": "s3a://clusters/"}
    assert made.secrets == {
        "spark.hadoop.fs.s3a.bucket.clusters.access.key": connections.key,
        "spark.hadoop.fs.s3a.bucket.clusters.secret.key": connections.secret,
    }
    seen = [log(), json.dumps([str(item) for item in done.xcoms().items()]), json.dumps(made.plan)]
    seen += [json.dumps(done.rendered(f"etl.{task}")) for task in ("create_cluster", "job")]
    assert not [text for text in seen for secret in (connections.key, connections.secret, CANARY) if secret in text]


@pytest.mark.parametrize(
    ("mount", "told"),
    [
        (Mount("raw2", "s3://nowhere/raw", conn_id="store"), "mounts.raw2: got 's3://nowhere/raw': 'nowhere' does not exist"),
        (Mount("raw2", "s3://clusters/nothing", conn_id="store", read_only=True), "'clusters/nothing' does not exist: make it"),
        (Mount("raw2", "s3://clusters/raw", conn_id="missing"), "connection 'missing' does not exist"),
        ("missing", "mount 'missing' does not exist: create a connection with this id"),
    ],
)
def test_what_cannot_be_mounted_is_told_before_a_cluster_is_asked_for(run, service, connections, log, mount, told):
    with DAG("unmounted", schedule=None) as dag:
        CreateSparkClusterOperator(task_id="create", mounts=[mount], retries=3)
    done = run(dag)
    assert done.states == {"create": "failed"}
    assert told in log()
    assert not service.clusters


def test_a_wrong_mount_does_not_parse():
    with pytest.raises(SpecError, match=r"ClusterSpec\.mounts\.0\.mount: Mount\.name: got 'a/b': has a slash"):
        CreateSparkClusterOperator(task_id="create", mounts=[{"name": "a/b", "source": "/data"}])
