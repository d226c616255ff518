"""The jobs of dags/flight_streams.py on a day of the real data, through a real broker into a real store."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Maven, Node, PyPI, PythonCode, PythonFile, ScalaSource
from airflow_ml_provider.core.state import JobState
from tests.contract.rigs import until_ended, until_state
from tests.servers.kafka import kafka
from tests.servers.redis import redis

JOBS = Path(__file__).parents[2] / "include" / "jobs"
CONNECTOR = Maven("org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0")
FLIGHTS = 842
PATIENCE = 240.0
COUNT = """
import json, os, sys
from pyspark.sql import SparkSession, functions as F
table = SparkSession.builder.getOrCreate().read.parquet(sys.argv[1])
found = [table.count(), table.dropDuplicates(["date", "carrier", "flight", "origin", "sched_dep_time"]).count()]
json.dump(found, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""


class Cluster:
    def __init__(self, root):
        self.backend, self.jobs = LocalBackend(root), 0
        spec = ClusterSpec(name="streams", driver=Node(cores=2, memory="1g"), libraries=(CONNECTOR,))
        self.id = self.backend.create(self.backend.plan_cluster(spec), token="streams")

    def start(self, program, **fields):
        self.jobs += 1
        plan = self.backend.plan_job(JobSpec(name="job", program=program, **fields))
        return self.backend.submit(self.id, plan, token=f"job{self.jobs}")

    def log(self, job):
        return "\n".join(self.backend.logs(self.id, job).lines)

    def result(self, program, **fields):
        job = self.start(program, **fields)
        status = until_ended(self.backend, self.id, job, PATIENCE)
        assert status.state is JobState.SUCCEEDED, f"{status.message}\n{self.log(job)}"
        return status.result

    def file(self, name, *args, **fields):
        return self.result(python(name, *args), **fields)


def python(name, *args):
    return PythonFile(path=str(JOBS / f"{name}.py"), args=tuple(map(str, args)))


@pytest.fixture(scope="module")
def brokers():
    with kafka() as address:
        yield address


@pytest.fixture(scope="module")
def store():
    with redis() as address:
        yield address


@pytest.fixture(scope="module")
def cluster(spark_root):
    made = Cluster(spark_root)
    status = until_state(made.backend, made.id, ["RUNNING", "FAILED"], PATIENCE)
    assert status.state == "RUNNING", status
    yield made
    made.backend.terminate(made.id)
    until_state(made.backend, made.id, ["TERMINATED"], PATIENCE)


@pytest.mark.soak
def test_flights_through_a_broker_to_ranks_in_a_store(cluster, brokers, store, tmp_path):
    raw, table, ranks, checkpoint = (tmp_path / name for name in ("raw", "table", "ranks", "checkpoint"))
    stream = ("stream", "--brokers", brokers, "--topic", "flights", "--output", table, "--checkpoint", checkpoint)
    cluster.file("ingest", "--output", raw, "--days", "1")
    replay = ("replay", "--input", raw, "--brokers", brokers, "--topic", "flights")
    assert cluster.file(*replay) == {"rows": FLIGHTS}

    # A batch step takes what is there, and nothing twice.
    assert cluster.file(*stream, "--batch", "300") == {"rows": FLIGHTS}
    assert cluster.file(*stream) == {"rows": 0}
    count = PythonCode(source=COUNT, args=(str(table),))
    assert cluster.result(count) == [FLIGHTS, FLIGHTS]
    assert [path.name for path in table.glob("date=*")] == ["date=2013-01-01"]

    # A job that a task watches says how far it is, and ends between two batches when it is cancelled.
    following = cluster.start(python(*stream, "--follow"))
    assert cluster.file(*replay) == {"rows": FLIGHTS}
    deadline = time.monotonic() + PATIENCE
    while sum(map(int, re.findall(r"batch \d+: (\d+) rows", cluster.log(following)))) < FLIGHTS:
        assert time.monotonic() < deadline, cluster.log(following)
        time.sleep(0.1)
    cluster.backend.cancel(cluster.id, following)
    assert until_ended(cluster.backend, cluster.id, following, PATIENCE).state is JobState.CANCELLED
    assert "rows/s, lag 0 messages" in cluster.log(following)
    assert "stopped between two batches, as asked" in cluster.log(following)
    assert cluster.file(*stream) == {"rows": 0}
    assert cluster.result(count) == [2 * FLIGHTS, FLIGHTS]

    airports = cluster.result(ScalaSource(file=str(JOBS / "pagerank.scala"), args=(str(table), str(ranks))))["airports"]
    stored = cluster.file("store", "--input", ranks, "--store", store, libraries=(PyPI("redis>=5"),))
    assert stored["airports"] == airports > 50
    assert "ATL" in stored["first"]
