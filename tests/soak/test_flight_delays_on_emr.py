"""The ready-made DAG, unchanged, with an EMR connection in the place of the local one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.backends.local.commands import TOKEN_VARIABLE
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode
from scripts.stack import Stack
from tests.fakes.emr import BUCKET, REGION, Services, client, serving

DAG = "flight_delays"
CANARY = "canary-emr-mlflow-0c2d"
TELL = f"""
import json, os
told = {{name: os.environ[name] for name in ("SPARK_REMOTE", "{TOKEN_VARIABLE}")}}
json.dump(told, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""


@pytest.fixture
def spark(spark_root: Path) -> Iterator[Mapping[str, str]]:
    """What leads a step to a Spark on this machine, each to a session of its own."""
    backend = LocalBackend(spark_root)
    cluster = backend.create(backend.plan_cluster(ClusterSpec(name="behind-emr")), token="behind-emr")
    while backend.describe([cluster])[cluster].state != "RUNNING":
        time.sleep(0.1)
    job = backend.submit(cluster, backend.plan_job(JobSpec(name="tell", program=PythonCode(source=TELL))), token="tell")
    while not (status := backend.poll(cluster, [job])[job]).state.ended:
        time.sleep(0.1)
    address = ";".join(part for part in status.result["SPARK_REMOTE"].split(";") if not part.startswith("session_id="))
    yield {**status.result, "SPARK_REMOTE": address}
    backend.terminate(cluster)


@pytest.mark.soak
def test_the_whole_dag(spark: Mapping[str, str], tmp_path: Path) -> None:
    with serving(Services(speed=1, env=spark)) as aws:
        extra = {"backend": "emr", "credentials_conn_id": "aws_fake", "staging_uri": f"s3://{BUCKET}/flights"}
        signed = {"endpoint_url": aws.endpoint, "region_name": REGION}
        connections = {
            "spark_cluster_default": {"conn_type": "spark_cluster", "extra": json.dumps(extra)},
            "aws_fake": {"conn_type": "aws", "login": "canary-key", "password": CANARY, "extra": json.dumps(signed)},
        }
        with Stack(tmp_path / "airflow", connections=connections) as stack:
            opened = {"conn_type": "mlflow", "host": stack.mlflow_url, "login": "airflow", "password": CANARY}
            stack.api.put_connection("mlflow_default", opened)
            conf = {"days": 6, "threshold": 0.5, "output": str(tmp_path / "data")}
            run = stack.api.trigger(DAG, conf)
            state = stack.api.wait_for_run(DAG, run, timeout=900)
            assert state == "success", stack.api.states(DAG, run)
            assert stack.api.xcoms(DAG, run, "spark.score")["return_value"]["day"] == "2013-01-06"
        (cluster,) = aws.clusters.values()
        assert [job.state for job in cluster.jobs.values()] == ["COMPLETED"] * 6
        assert cluster.state == "TERMINATED"
        assert CANARY not in json.dumps([cluster.payload, *(job.payload for job in cluster.jobs.values())])
        left = client(aws.endpoint, "s3").list_objects_v2(Bucket=BUCKET, Prefix="flights/clusters/")
        assert "Contents" not in left
