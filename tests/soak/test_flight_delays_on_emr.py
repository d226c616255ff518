"""The ready-made DAG, unchanged, with an EMR connection in the place of the local one, and its mount in S3.

Its steps run by ``spark-submit`` on the Spark of this machine, with what RunJobFlow and the staging area tell them and nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyarrow.fs import S3FileSystem

from scripts.stack import Stack
from tests.fakes.emr import BUCKET, REGION, Services, client, serving
from tests.servers.seaweedfs import S3Server
from tests.soak.spark_for_emr import spark_for_emr

DAG = "flight_delays"
CANARY = "canary-emr-mlflow-0c2d"


@pytest.mark.soak
def test_the_whole_dag(spark_root: Path, seaweedfs: S3Server, tmp_path: Path) -> None:
    bucket = seaweedfs.make("flights-on-emr")
    with serving(Services(speed=1, spark=spark_for_emr(spark_root))) as aws:
        extra = {"backend": "emr", "credentials_conn_id": "aws_fake", "staging_uri": f"s3://{BUCKET}/flights"}
        signed = {"endpoint_url": aws.endpoint, "region_name": REGION}
        connections = {
            "spark_cluster_default": {"conn_type": "spark_cluster", "extra": json.dumps(extra)},
            "aws_fake": {"conn_type": "aws", "login": "canary-key", "password": CANARY, "extra": json.dumps(signed)},
            "store": {**seaweedfs.connection, "extra": json.dumps(seaweedfs.connection["extra"])},
            "flights": {
                "conn_type": "mount",
                "extra": json.dumps({"source": f"s3://{bucket}/lake", "credentials_conn_id": "store"}),
            },
        }
        with Stack(tmp_path / "airflow", connections=connections) as stack:
            opened = {"conn_type": "mlflow", "host": stack.mlflow_url, "login": "airflow", "password": CANARY}
            stack.api.put_connection("mlflow_default", opened)
            run = stack.api.trigger(DAG, {"days": 6, "threshold": 0.5})
            state = stack.api.wait_for_run(DAG, run, timeout=1500)
            assert state == "success", _why(stack, run, aws)
            scored = stack.api.xcoms(DAG, run, "spark.score")["return_value"]
        (cluster,) = aws.clusters.values()
        assert [job.state for job in cluster.jobs.values()] == ["COMPLETED"] * 6
        assert cluster.state == "TERMINATED"
        told = json.dumps([cluster.payload, *([job.payload, job.told] for job in cluster.jobs.values())])
        assert not [secret for secret in (CANARY, seaweedfs.secret) if secret in told]
        left = client(aws.endpoint, "s3").list_objects_v2(Bucket=BUCKET, Prefix="flights/clusters/")
        assert "Contents" not in left
    assert scored["day"] == "2013-01-06"
    store = S3FileSystem(
        access_key=seaweedfs.key, secret_key=seaweedfs.secret, endpoint_override=seaweedfs.endpoint, region=REGION
    )
    table = pq.read_table(scored["path"].replace("dbfs:/mnt/flights", f"{bucket}/lake"), filesystem=store, partitioning=None)
    assert table.num_rows == scored["rows"] > 500


def _why(stack: Stack, run: str, aws: Services) -> str:
    """What the tasks came to, and what the failed steps told."""
    failed = [job.told[-3000:] for cluster in aws.clusters.values() for job in cluster.jobs.values() if job.state == "FAILED"]
    return "\n".join([str(stack.api.states(DAG, run)), *failed])
