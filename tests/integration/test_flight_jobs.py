"""The programs of include/jobs on a slice of the real data: what the whole DAG's own test does not show."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode, PythonFile
from airflow_ml_provider.core.state import ClusterState, JobState

JOBS = Path(__file__).parents[2] / "include" / "jobs"
DAYS, FLIGHTS = 3, 2699
BAD_BATCH = """
import sys
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
good, bad = sys.argv[1:]
for table in ("weather", "planes"):
    spark.read.parquet(f"{good}/{table}").write.parquet(f"{bad}/{table}")
flights = spark.read.parquet(f"{good}/flights")
wrong = (F.col("flight") == 1545) & (F.dayofyear("date") == 1)
flights.withColumn("distance", F.when(wrong, -1).otherwise(F.col("distance"))).write.parquet(f"{bad}/flights")
"""


class Cluster:
    """A cluster and a folder for the tables."""

    def __init__(self, backend, id_, folder):
        self.backend, self.id, self.folder = backend, id_, folder
        self.jobs = 0

    def run(self, program, *args, env=None):
        """The job's status once it has ended, and its log."""
        self.jobs += 1
        args = tuple(str(arg) for arg in args)
        file = isinstance(program, str) and program.isidentifier()
        kind = PythonFile(path=str(JOBS / f"{program}.py"), args=args) if file else PythonCode(source=program, args=args)
        plan = self.backend.plan_job(JobSpec(name="job", program=kind, env=env or {}))
        job = self.backend.submit(self.id, plan, token=f"job{self.jobs}")
        while not (status := self.backend.poll(self.id, [job])[job]).state.ended:
            time.sleep(0.05)
        return status, "\n".join(self.backend.logs(self.id, job).lines)

    def result(self, *args, **kwargs):
        status, log = self.run(*args, **kwargs)
        assert status.state is JobState.SUCCEEDED, log
        return status.result


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, spark_root):
    backend = LocalBackend(root=spark_root)
    id_ = backend.create(backend.plan_cluster(ClusterSpec(name="flights")), token="flights")
    try:
        while not (status := backend.describe([id_])[id_]).state.ended and status.state is not ClusterState.RUNNING:
            time.sleep(0.05)
        assert status.state is ClusterState.RUNNING, status
        yield Cluster(backend, id_, tmp_path_factory.mktemp("data"))
    finally:
        backend.terminate(id_)
        while not backend.describe([id_])[id_].state.ended:
            time.sleep(0.05)


@pytest.fixture(scope="module")
def raw(cluster):
    rows = cluster.result("ingest", "--output", cluster.folder / "raw", "--days", DAYS)["rows"]
    assert rows["flights"] == FLIGHTS
    assert rows["planes"] == 3322
    return cluster.folder / "raw"


@pytest.fixture(scope="module")
def features(cluster, raw):
    result = cluster.result("features", "--input", raw, "--output", cluster.folder / "features")
    assert result["holdout_from"] == "2013-01-03"
    assert sum(result["rows"].values()) == FLIGHTS
    return cluster.folder / "features"


def test_a_good_batch_passes_and_a_bad_one_says_how_many_rows_are_wrong(cluster, raw):
    report = cluster.result("validate", "--input", raw)
    assert report["flights"]["rows"] == FLIGHTS
    assert report["flights"]["distance BETWEEN 10 AND 10000"] == 0
    cluster.result(BAD_BATCH, raw, cluster.folder / "bad")
    status, _ = cluster.run("validate", "--input", cluster.folder / "bad")
    assert status.state is JobState.FAILED
    assert re.search(rf"Bad batch: flights: [1-9]\d* of {FLIGHTS} rows break 'distance BETWEEN 10 AND 10000'", status.message)
    status, _ = cluster.run("validate", "--input", raw, "--min-rows", 5000)
    assert "planes: 3322 rows, and 5000 is the least" in status.message


def test_no_feature_is_known_only_after_departure(cluster, features):
    columns = cluster.result(
        "import json, os, sys\nfrom pyspark.sql import SparkSession\n"
        "names = SparkSession.builder.getOrCreate().read.parquet(sys.argv[1]).columns\n"
        "open(os.environ['AIRFLOW_ML_RESULT'], 'w').write(json.dumps(names))",
        features,
    )
    assert not set(columns) & {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    source = (JOBS / "train.py").read_text()
    assert all(name in columns for name in re.findall(r'"(\w+)"', source[source.index("NUMERIC =") : source.index("INDEXED =")]))


def test_a_source_that_is_not_there_is_named(cluster):
    status, _ = cluster.run("ingest", "--source", "/nowhere", "--output", cluster.folder / "x")
    assert "--source /nowhere: is neither a folder nor an installed package" in status.message
