"""Warm jobs on EMR and EMR Serverless: programs beside their tasks, on a real Spark Connect server behind the fake's tokens and TLS."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from importlib.metadata import version

import psutil
import pytest
from airflow.sdk import DAG, task

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.errors import ConfigurationError, NotFound, SpecError
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Maven, Mount, PythonCode, PythonFile, SparkJar
from airflow_ml_provider.core.state import ClusterState
from airflow_ml_provider.hooks.spark_cluster import SparkClusterHook
from airflow_ml_provider.operators import warm
from airflow_ml_provider.operators.waiting import Killed
from tests.contract.rigs import until_ended, until_state
from tests.fakes.emr import ROLE, Services, connections, serving
from tests.fakes.emr_sessions import door, trusted
from tests.processes import eventually

CANARY = "canary-51c7-aws"
LOG = logging.getLogger(__name__)
TASK = """
import sys
from pathlib import Path
from airflow_ml_provider.core.spec import JobSpec, PythonCode
from airflow_ml_provider.operators import warm
job = JobSpec(name="held", program=PythonCode(source={source!r}))
process = warm.Program(job, Path({folder!r}), warm.Killed(), None)._start(sys.executable, {secrets!r})
print(process.pid, flush=True)
process.wait()
"""
REMOTE = "import json, os\njson.dump(dict(os.environ), open(os.environ['AIRFLOW_ML_RESULT'], 'w'))"
COUNTS = """
import json, os, sys, time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("rows of", sys.argv[1:])
found = [spark.range(10).count()]
time.sleep(float(os.environ.get("PAUSE", 0)))
found.append(spark.sql("SELECT sum(id) AS s FROM range(5)").collect()[0]["s"])
json.dump(found, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""


@pytest.fixture(scope="module")
def remote(spark_root):
    """The variables of a program that has a Spark Connect server on this machine."""
    backend = LocalBackend(spark_root)
    made = backend.create(backend.plan_cluster(ClusterSpec(driver={"cores": 2, "memory": "1g"})), token="warm")
    until_state(backend, made, (ClusterState.RUNNING,), 120)
    job = backend.submit(made, backend.plan_job(JobSpec(name="remote", program=PythonCode(source=REMOTE))), token="remote")
    yield until_ended(backend, made, job, 60).result
    backend.terminate(made)


@pytest.fixture(scope="module")
def aws(remote):
    shown = trusted()
    with pytest.MonkeyPatch.context() as patch, serving(Services(speed=1)) as services:
        patch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(shown.cert))
        with door(services.sessions, shown, remote["SPARK_REMOTE"], remote["SPARK_CONNECT_AUTHENTICATE_TOKEN"]):
            yield services


@pytest.fixture(params=["emr", "emr-serverless"])
def kind(request):
    return request.param


@pytest.fixture
def service(aws, kind, monkeypatch):
    """The fake behind ``spark_cluster_default``, without clusters of other tests."""
    native = {"executionRoleArn": ROLE, "releaseLabel": "emr-7.13.0"} if kind == "emr-serverless" else {}
    defaults = {"native": native, **({} if native else {"spark_version": "4.0"})}
    for name, value in connections(aws, kind, secret=CANARY, folder="warm", **defaults).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(warm, "client_library", lambda _: [])  # the server here is of the worker's own Spark
    yield aws
    for cluster in aws.clusters.values():
        cluster.end("TERMINATED", "CANCELLED")
    aws.clusters.clear()
    aws.sessions.all.clear()
    aws.calls.clear()


@pytest.fixture
def program(tmp_path):
    (tmp_path / "counts.py").write_text(COUNTS)
    return str(tmp_path / "counts.py")


def test_programs_share_one_session_whose_token_is_renewed(run, service, program, kind, log):
    with DAG("warm", schedule=None) as dag, SparkCluster("etl") as cluster:

        @task.spark_job(cluster=cluster, warm=True, poll_interval=0.1)
        def sums(n, spark):
            return spark.range(n).selectExpr("sum(id)").first()[0]

        cluster.job("counts", program=program, args=["--day", "1"], warm=True, env={"PAUSE": "3"}, poll_interval=0.1) >> sums(4)
        sql = {"kind": "sql", "text": "SELECT 7 AS seven"}
        cluster.job("sql", program=sql, warm=True, poll_interval=0.1, spark_conf={"spark.sql.shuffle.partitions": "1"})
    done = run(dag)
    assert done.states == dict.fromkeys(done.states, "success")
    assert done.xcom("etl.counts") == [10, 10]
    assert done.xcom("etl.sums") == 6
    assert done.xcom("etl.sql")["rows"] == [[7]]
    assert len(service.sessions.all) == 1
    assert service.calls["StartSession"] == 1
    assert service.calls["GetSessionEndpoint"] >= 4  # one a program, and one more for that which paused
    assert service.sessions.door.refused == 0
    assert service.runs == 0
    tokens = [token for session in service.sessions.all.values() for token in session.tokens]
    told = log()
    assert "rows of ['--day', '1']" in told
    assert not [token for token in tokens if token in told or token in str(done.xcoms())]
    assert {session.state for session in service.sessions.all.values()} <= {"TERMINATED", "IDLE"}
    assert {cluster.state for cluster in service.clusters.values()} <= {"TERMINATED", "STOPPED"}


only_serverless = pytest.mark.parametrize("kind", ["emr-serverless"], indirect=True)


@only_serverless
def test_a_failure_names_the_programs_own_error_and_a_retry_runs_it_again(run, service, tmp_path):
    flag = tmp_path / "fail"
    flag.touch()
    source = f"import os\nif os.path.exists({str(flag)!r}):\n    os.unlink({str(flag)!r})\n    raise ValueError('told to fail')\n"
    (tmp_path / "fails.py").write_text(source + COUNTS)
    with DAG("warm_retry", schedule=None) as dag, SparkCluster("etl") as cluster:
        cluster.job("job", program=str(tmp_path / "fails.py"), warm=True, retries=1, retry_delay=timedelta(0), poll_interval=0.1)
    done = run(dag)
    assert done.xcom("etl.job") == [10, 10]
    assert done.ti("etl.job").try_number == 2


def test_a_program_ends_with_its_task(remote, tmp_path):
    """The task is killed outright."""
    names = ("SPARK_REMOTE", "SPARK_CONNECT_AUTHENTICATE_TOKEN")
    source = TASK.format(folder=str(tmp_path), source="import time; time.sleep(600)", secrets={key: remote[key] for key in names})
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as parent:
        program = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    eventually(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE, within=10)


@only_serverless
def test_another_try_ends_what_an_earlier_one_left_at_the_server(service):
    """A client is in the middle of a query when its session is ended; it cannot go on, and the next attempt's is another one."""
    from pyspark.sql import SparkSession

    hook = SparkClusterHook()
    made = hook.backend.create(hook.backend.plan_cluster(hook.cluster_spec({"name": "left"})), token="left")
    until_state(hook.backend, made, (ClusterState.RUNNING,), 10)
    again = warm.Warm(hook.backend, Handle.parse(f"{hook.backend.name}://spark_cluster_default/{made}"), None, Killed(), 0.1, LOG)
    with again._door() as (door, version), ThreadPoolExecutor(1) as pool, ExitStack() as ends:
        assert version == "3.5.6"
        mine = door.url(warm.session_id("left", 0))
        left, other = (SparkSession.builder.remote(url).create() for url in (mine, mine.replace("key=", "key=x")))
        # An open client calls its server as this process ends, and asks a server that is gone again for ten minutes.
        ends.callback(left.client.close)
        ends.callback(other.client.close)
        running = pool.submit(left.sql("SELECT sum(hash(id)) FROM range(1000000000000)").collect)
        eventually(lambda: running.running(), within=10)
        time.sleep(1)
        door.end_session(warm.session_id("left", 0))
        with pytest.raises(Exception, match="OPERATION_CANCELED|SESSION_CLOSED|SESSION_NOT_FOUND"):
            running.result(timeout=30)
        with pytest.raises(Exception, match="SESSION_CLOSED|SESSION_NOT_FOUND"):
            left.range(1).collect()
        with pytest.raises(Exception, match="another program's"):
            other.range(1).collect()
    assert warm.session_id("left", 0) != warm.session_id("left", 1)


@only_serverless
def test_a_session_without_what_the_cluster_has_is_refused(service, monkeypatch):
    """Mounts: their classes are compiled by a job, and a session's settings are no place for secrets."""
    backend = SparkClusterHook().backend
    spec, _ = SparkClusterHook().open_mounts(SparkClusterHook().cluster_spec({"mounts": [Mount("raw", "s3://raw")]}))
    made = backend.create(backend.plan_cluster(spec), token="mounted")
    with pytest.raises(ConfigurationError, match="compiled by its first job"):
        backend.connect(made)
    folder = backend.staging.of_cluster("mounted")
    backend.store.write(folder / "mounts.jar", b"compiled")
    assert backend.connect(made) is None
    asked = service.sessions.all.popitem()[1].payload["configurationOverrides"]["runtimeConfiguration"]
    assert asked == [{"classification": "spark-defaults", "properties": {"spark.jars": str(folder / "mounts.jar")}}]
    backend.store.write_json(folder / "secrets.json", {"spark.hadoop.fs.s3a.secret.key": "x"})
    with pytest.raises(ConfigurationError, match="leave out its conn_id"):
        backend.connect(made)


def test_a_cluster_that_can_have_no_session_is_refused(service, kind):
    hook = SparkClusterHook()
    with pytest.raises(NotFound, match="create another"):
        hook.backend.connect("j-GONE" if kind == "emr" else "00fgone")
    old = {"ReleaseLabel": "emr-7.13.0"} if kind == "emr" else {"releaseLabel": "emr-7.12.0"}
    made = hook.backend.create(hook.backend.plan_cluster(hook.cluster_spec({"native": old})), token="old")
    with pytest.raises(SpecError, match="has the release emr-7.*: takes emr-.* or later, or no warm"):
        hook.backend.connect(made)
    until_state(hook.backend, made, (ClusterState.RUNNING,), 10)
    hook.backend.terminate(made)
    assert not service.sessions.all


def test_a_program_gets_the_clusters_pyspark_and_its_libraries():
    assert warm.client_library(None) == warm.client_library(version("pyspark")) == []
    assert warm.client_library("3.5.6")[0]["requirement"] == "pyspark[connect]==3.5.*"
    assert warm.client_library("4.0.2")[0]["requirement"] == "pyspark-client==4.0.*"


@only_serverless
def test_a_session_that_ended_is_started_again_and_one_that_fails_is_told(service, run, program):
    with DAG("warm_fails", schedule=None) as dag, SparkCluster("etl") as cluster:
        cluster.job("job", program=program, warm=True, poll_interval=0.1)
    service.sessions.fails = 3
    done = run(dag)
    assert done.states["etl.job"] == "failed"
    assert len(service.sessions.all) == 3
    service.sessions.fails = 1
    service.sessions.all.clear()
    assert run(dag).xcom("etl.job") == [10, 10]
    assert [session.state == "FAILED" for session in service.sessions.all.values()] == [True, False]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"program": SparkJar(jar="/a.jar", main_class="a.B")}, "a driver of its own"),
        ({"program": PythonFile(path="/a.py", api="classic")}, "a driver of its own"),
        ({"spark_conf": {"spark.executor.memory": "1g"}}, "properties of a session"),
        ({"libraries": [Maven("a:b:1")]}, "Maven library"),
        ({"native": {"retryPolicy": {}}}, "'retryPolicy'"),
    ],
)
def test_what_takes_a_driver_of_its_own_is_refused(fields, told):
    with pytest.raises(SpecError, match=told):
        warm.checked(JobSpec(**{"name": "job", "program": PythonCode(source="pass"), **fields}))
