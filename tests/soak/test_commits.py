"""Jobs killed while they commit, on real stores, while others read: SOAK_KILLS (50 a store). Nobody ever reads a part."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from airflow_ml_provider.core.mounts import Credentials, Mount
from tests.mounts.clusters import MountedCluster, credentials, mounted_cluster
from tests.processes import eventually
from tests.seed import SEED
from tests.servers.azurite import BlobServer
from tests.servers.seaweedfs import S3Server

KILLS = int(os.environ.get("SOAK_KILLS", "50"))
ROWS, FILES = 1000, 40
WRITE = """
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
data = spark.range({rows}).withColumn("job", F.lit({number})).repartition({files})
data.write.mode("{mode}").json("dbfs:/mnt/out/table")
"""
READ = """
import json, os, time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
reads, parts = 0, []
while True:
    last = os.path.exists({stop!r})
    table = spark.read.schema("id long, job int").json("dbfs:/mnt/out/table")
    found = {{row.job: row["count"] for row in table.groupBy("job").count().collect()}}
    parts += [(job, count) for job, count in found.items() if count != {rows}]
    reads += 1
    if last:
        break
    time.sleep(0.5)
json.dump([reads, parts, sorted(found)], open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""
Listed = Callable[[str], list[str]]
"""The names of what lies in the table, of those that begin so."""
MARKS = "_unfinished/"


@pytest.mark.soak
def test_killed_while_it_commits_on_s3(spark_root: Path, tmp_path: Path, seaweedfs: S3Server) -> None:
    bucket, client = seaweedfs.make("kills"), seaweedfs.client()
    pages = client.get_paginator("list_objects_v2")

    def listed(begin: str) -> list[str]:
        found = pages.paginate(Bucket=bucket, Prefix=f"table/{begin}")
        return [item["Key"].removeprefix("table/") for page in found for item in page.get("Contents", [])]

    _kill_again_and_again(spark_root, tmp_path, Mount("out", f"s3://{bucket}"), credentials(seaweedfs.connection), listed)


@pytest.mark.soak
def test_killed_while_it_commits_on_blob(spark_root: Path, tmp_path: Path, azurite: BlobServer) -> None:
    container = azurite.make("kills")
    with azurite.client() as client:
        there = client.get_container_client(container)

        def listed(begin: str) -> list[str]:
            return [item.name.removeprefix("table/") for item in there.list_blobs(name_starts_with=f"table/{begin}")]

        _kill_again_and_again(spark_root, tmp_path, Mount("out", f"az://{container}"), credentials(azurite.connection), listed)


def _kill_again_and_again(root: Path, folder: Path, mount: Mount, opens: Credentials, listed: Listed) -> None:
    """Append again and again, each time by a job of its own that is killed at a random moment of its commit."""
    chance = random.Random(SEED)
    fell: Counter[str] = Counter()
    with mounted_cluster(root, {mount: opens}, idle_timeout=3600) as cluster:
        _write(cluster, "overwrite", 0)
        seconds = _commit_seconds(cluster, listed)
        stop = folder / "stop"
        reader = cluster.start(READ.format(stop=str(stop), rows=ROWS))
        for number in range(2, KILLS + 2):
            before = len(listed("part-"))
            fell[_killed_write(cluster, number, listed, chance.uniform(0, 1.2) * seconds, before)] += 1
        stop.touch()
        told = cluster.ended(reader)
        assert told.result is not None, cluster.log(reader)[-2000:]
        reads, parts, whole = told.result
        what = f"{mount.source}: {KILLS} kills in commits of {seconds:.2f} s, {reads} reads meanwhile saw {len(parts)} parts"
        print(f"{what} and at last {len(whole)} whole jobs; in the store the killed ones left: {dict(fell)}", flush=True)
        assert parts == []
        _write(cluster, "overwrite", 0)
        assert [name for name in listed("") if not name.startswith("part-")] == ["_SUCCESS"]
        assert len(listed("part-")) == FILES


def _program(mode: str, number: int) -> str:
    return WRITE.format(rows=ROWS, files=FILES, mode=mode, number=number)


def _write(cluster: MountedCluster, mode: str, number: int) -> None:
    job = cluster.start(_program(mode, number), api="classic")
    assert cluster.ended(job).state == "SUCCEEDED", cluster.log(job)[-2000:]


def _commit_seconds(cluster: MountedCluster, listed: Listed) -> float:
    job = cluster.start(_program("append", 1), api="classic")
    eventually(lambda: listed(MARKS), within=120)
    began = time.monotonic()
    eventually(lambda: not listed(MARKS), within=120)
    seconds = time.monotonic() - began
    assert cluster.ended(job).state == "SUCCEEDED", cluster.log(job)[-2000:]
    return seconds


def _killed_write(cluster: MountedCluster, number: int, listed: Listed, seconds: float, before: int) -> str:
    """Kill a driver so many seconds after its commit began. What it left."""
    known = set(listed(MARKS))
    job = cluster.start(_program("append", number), api="classic")
    eventually(lambda: set(listed(MARKS)) - known, within=120)
    time.sleep(seconds)
    for process in _tree(cluster, job):
        process.kill()
    cluster.ended(job)
    files = len(listed("part-")) - before
    if not set(listed(MARKS)) - known:
        return "all, finished"
    return "none" if not files else "all, not finished" if files == FILES else "a part"


def _tree(cluster: MountedCluster, job: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get("AIRFLOW_ML_JOB") == job:
                yield process
        except psutil.Error:
            continue
