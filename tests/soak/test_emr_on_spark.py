"""Steps of EMR and job runs of EMR Serverless on a real Spark: what a plan says reaches driver and executors, and nobody else."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.backends.emr.backend import EmrBackend
from airflow_ml_provider.backends.emr_serverless.backend import EmrServerlessBackend
from airflow_ml_provider.backends.local.java import find_jdk
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.mounts import Mount, open_mount, with_mounts
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode, Wheel
from airflow_ml_provider.operators import warm
from airflow_ml_provider.operators.waiting import Killed
from tests.contract.programs import VERSION, programs, versioned
from tests.contract.rigs import until_ended
from tests.fakes.emr import BUCKET, ROLE, Job, Services, client, clients, serving
from tests.fakes.emr_sessions import Session, door, trusted
from tests.mounts.clusters import credentials
from tests.processes import eventually
from tests.servers.seaweedfs import S3Server
from tests.soak.spark_for_emr import spark_for_emr

pytestmark = pytest.mark.soak  # a JVM a step: ten seconds each, more on a busy machine
PATIENCE = 400.0
WRITES = """
import json, os
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()

def told(call):
    try:
        return call()
    except Exception as error:
        return str(error)

spark.range(7).selectExpr("id", "id % 2 AS k").write.mode("overwrite").partitionBy("k").parquet("dbfs:/mnt/lake/table")
spark.range(5).write.mode("overwrite").json("dbfs:/mnt/own/table")
found = {
    "lake": spark.read.parquet("dbfs:/mnt/lake/table").count(),
    "own": spark.read.json("dbfs:/mnt/own/table").count(),
    "read": told(lambda: spark.read.parquet("dbfs:/mnt/seen/table").count()),
    "refused": told(lambda: spark.range(1).write.mode("append").parquet("dbfs:/mnt/seen/table")),
    "rdd": sum(spark.sparkContext.textFile("dbfs:/mnt/own/table").map(len).collect()) > 0,
}
json.dump(found, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""

WARM = """
import json, os
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
spark.range(9).write.mode("overwrite").parquet("dbfs:/mnt/own/{folder}")
found = [spark.read.parquet("dbfs:/mnt/own/{folder}").count(), None]
if "{package}" != "None":
    def version(_):
        import importlib
        return importlib.import_module("{package}").VERSION
    found[1] = spark.range(1).select(F.udf(version, "string")("id")).first()[0]
json.dump(found, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""


@pytest.fixture(scope="module")
def aws(spark_root: Path) -> Iterator[Services]:
    with serving(Services(speed=1, spark=spark_for_emr(spark_root, "local-cluster[1,1,1024]"))) as services:
        yield services


@pytest.fixture(params=[EmrBackend, EmrServerlessBackend], ids=["emr", "emr-serverless"])
def backend(request: pytest.FixtureRequest, aws: Services) -> Any:
    return request.param(clients(aws), f"s3://{BUCKET}/on-spark")


def make(backend: Any, mounts: Any = None, **fields: Any) -> str:
    """A cluster that takes jobs."""
    native = {"executionRoleArn": ROLE} if backend.name == "emr-serverless" else {}
    spec = ClusterSpec(native=native, max_lifetime=None, idle_timeout=None, **fields)
    secrets: dict[str, str] = {}
    if mounts:
        spec, secrets = with_mounts(spec, mounts)
    cluster: str = backend.create(backend.plan_cluster(spec), token=uuid.uuid4().hex[:24], secrets=secrets)
    while backend.describe([cluster])[cluster].state != "RUNNING":
        time.sleep(0.05)
    return cluster


def submit(backend: Any, cluster: str, spec: JobSpec) -> str:
    job: str = backend.submit(cluster, backend.plan_job(spec), token=uuid.uuid4().hex[:24])
    return job


def result(services: Services, backend: Any, cluster: str, job: str) -> Any:
    """What a job hands back; fails with what it told when it fails."""
    status = until_ended(backend, cluster, job, PATIENCE)
    assert status.state == "SUCCEEDED", f"{status.message}\n{told(services, cluster, job)[-6000:]}"
    return status.result


def told(services: Services, cluster: str, job: str) -> str:
    found: Job = services.clusters[cluster].jobs[job]
    return found.told


def test_every_kind_of_program(aws: Services, backend: Any, tmp_path: Path) -> None:
    cluster = make(backend)
    known = programs(tmp_path, find_jdk().java)
    jobs = {name: submit(backend, cluster, spec) for name, (spec, _) in known.items()}
    found = {name: result(aws, backend, cluster, job) for name, job in jobs.items()}
    assert found == {name: expected for name, (_, expected) in known.items()}
    backend.terminate(cluster)


def test_packages_reach_the_driver_and_the_executors(aws: Services, backend: Any, tmp_path: Path) -> None:
    """A job's own go before the cluster's."""
    first, second = (Wheel(versioned(tmp_path, version)) for version in ("1.0", "2.0"))
    shared = {"libraries": (first,)} if backend.name == "emr-serverless" else {}
    cluster = make(backend, **shared)
    program = PythonCode(source=VERSION)
    own = submit(backend, cluster, JobSpec(name="own", program=program, libraries=(second,)))
    assert result(aws, backend, cluster, own) == ["2.0", ["2.0"]]
    if shared:  # after the other: two local clusters begun in one second share their executors' folder
        job = submit(backend, cluster, JobSpec(name="cluster", program=program))
        assert result(aws, backend, cluster, job) == ["1.0", ["1.0"]]
    backend.terminate(cluster)


def test_mounts(aws: Services, backend: Any, seaweedfs: S3Server) -> None:
    """One opened by its connection's keys, the same read-only, and one by the machines' own role."""
    bucket = seaweedfs.make(f"lake-{backend.name}")
    keys = credentials(seaweedfs.connection)
    s3 = client(aws.endpoint, "s3")
    own = f"own-{backend.name}"
    s3.create_bucket(Bucket=own, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    role = Mount("own", f"s3://{own}/in")
    mounts = {
        Mount("lake", f"s3://{bucket}/in"): keys,
        Mount("seen", f"s3://{bucket}/in", read_only=True): keys,
        role: None,
    }
    opened = {mount: open_mount(mount, opens) for mount, opens in mounts.items()}
    cluster = make(backend, opened)
    job = submit(backend, cluster, JobSpec(name="writes", program=PythonCode(source=WRITES)))
    found = result(aws, backend, cluster, job)
    refused = found.pop("refused")
    assert found == {"lake": 7, "own": 5, "read": 7, "rdd": True}
    assert "it is mounted read-only" in refused
    committed = seaweedfs.client().get_object(Bucket=bucket, Key="in/table/_SUCCESS")["Body"].read()
    assert b"MagicS3GuardCommitter" in committed
    again = submit(backend, cluster, JobSpec(name="again", program=PythonCode(source=WRITES)))
    assert result(aws, backend, cluster, again)["lake"] == 7
    assert seaweedfs.secret not in told(aws, cluster, job)
    assert seaweedfs.secret not in json.dumps([aws.clusters[cluster].payload, aws.clusters[cluster].jobs[job].payload])
    backend.terminate(cluster)
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="on-spark/clusters/")


def test_a_warm_program_with_mounts_and_packages(
    aws: Services, backend: Any, tmp_path: Path, spark_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session has what its start says: the classes that the first job has compiled, and the cluster's packages."""
    bucket = f"warm-{backend.name}"
    client(aws.endpoint, "s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    role = Mount("own", f"s3://{bucket}/in")
    shared: dict[str, Any] = {"spark_version": "4.0"}
    if backend.name == "emr-serverless":
        shared["libraries"] = (Wheel(versioned(tmp_path, "1.0")),)
    cluster = make(backend, {role: open_mount(role, None)}, **shared)
    first = JobSpec(name="first", program=PythonCode(source=WARM.format(folder="first", package=None)))
    assert result(aws, backend, cluster, submit(backend, cluster, first)) == [9, None]
    monkeypatch.setattr(warm, "client_library", lambda _: [])
    shown = trusted()
    monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(shown.cert))
    assert backend.connect(cluster) is None
    [session] = [session for session in aws.sessions.all.values() if session.cluster.id == cluster]
    with session_server(aws, session, tmp_path) as remote, door(aws.sessions, shown, remote, ""):
        handle = Handle.parse(f"{backend.name}://on_spark/{cluster}")
        beside = warm.Warm(backend, handle, spark_root / "cache", Killed(), 0.1, logging.getLogger(__name__))
        program = PythonCode(source=WARM.format(folder="warm", package="versioned" if "libraries" in shared else None))
        found = beside.run(JobSpec(name="warm", program=program), {}, token="warm", attempt=0)
    assert found == [9, "1.0" if "libraries" in shared else None]
    written = client(aws.endpoint, "s3").list_objects_v2(Bucket=bucket, Prefix="in/warm/_SUCCESS")["Contents"][0]
    assert written["Size"] > 0, "not our committer's"
    backend.terminate(cluster)


@contextmanager
def session_server(services: Services, session: Session, folder: Path) -> Iterator[str]:
    """A Spark Connect server as the service starts one: with the cluster's properties, and the session's over them."""
    assert services.spark
    asked = session.payload.get("EngineConfigurations") or session.payload["configurationOverrides"]["runtimeConfiguration"]
    ours = {key: value for item in asked for key, value in item.get("Properties", item.get("properties")).items()}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    binding = {"spark.connect.grpc.binding.port": str(port), "spark.connect.grpc.binding.address": "127.0.0.1"}
    properties = {**services.spark._properties(services, session.cluster), **ours, **binding}
    conf = folder / "session-conf"
    conf.mkdir()
    lines = [f"{key} {value}\n" for key, value in properties.items()]
    (conf / "spark-defaults.conf").write_text("".join(lines).replace("\\", "\\\\"))
    python = services.spark.python
    env = {
        **{key: os.environ[key] for key in ("PATH", "HOME")},
        "JAVA_HOME": str(services.spark.java_home),
        "SPARK_CONF_DIR": str(conf),
        "PYSPARK_PYTHON": str(python),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    main = ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen([python.with_name("spark-submit"), *main], env=env, stdout=log, stderr=log)
    try:
        eventually(lambda: listens(port), within=120)
        yield f"sc://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(30)


def listens(port: int) -> bool:
    with socket.socket() as end:
        return end.connect_ex(("127.0.0.1", port)) == 0
