"""Jobs killed while they commit, on real stores: SOAK_KILLS (50 a store), SOAK_SEED. A reader that waits for ``_SUCCESS`` never sees a part."""

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
from tests.servers.azurite import BlobServer
from tests.servers.seaweedfs import S3Server

KILLS = int(os.environ.get("SOAK_KILLS", "50"))
SEED = int(os.environ.get("SOAK_SEED", str(random.randrange(1 << 32))))
ROWS, FILES = 2000, 40
WRITE = f"""
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("writing", flush=True)
spark.range({ROWS}).repartition({FILES}).write.mode("overwrite").json("dbfs:/mnt/out/table")
print("written", flush=True)
"""
Stored = Callable[[], dict[str, bytes]]


@pytest.mark.soak
def test_killed_while_it_commits_on_s3(spark_root: Path, seaweedfs: S3Server) -> None:
    bucket, client = seaweedfs.make("kills"), seaweedfs.client()

    def stored() -> dict[str, bytes]:
        found = client.list_objects_v2(Bucket=bucket, Prefix="table/").get("Contents", [])
        return {item["Key"]: client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found}

    _kill_again_and_again(spark_root, Mount("out", f"s3://{bucket}"), credentials(seaweedfs.connection), stored)


@pytest.mark.soak
def test_killed_while_it_commits_on_blob(spark_root: Path, azurite: BlobServer) -> None:
    container = azurite.make("kills")

    def stored() -> dict[str, bytes]:
        with azurite.client() as client:
            there = client.get_container_client(container)
            return {item.name: there.download_blob(item.name).readall() for item in there.list_blobs(name_starts_with="table/")}

    _kill_again_and_again(spark_root, Mount("out", f"az://{container}"), credentials(azurite.connection), stored)


def _kill_again_and_again(root: Path, mount: Mount, opens: Credentials, stored: Stored) -> None:
    print(f"\nSOAK_SEED={SEED} SOAK_KILLS={KILLS}", flush=True)
    chance = random.Random(SEED)
    seen: Counter[str] = Counter()
    with mounted_cluster(root, {mount: opens}, idle_timeout=3600) as cluster:
        seconds = _whole_write(cluster, stored)
        for number in range(KILLS):
            _killed_write(cluster, chance.uniform(0.3, 1.05) * seconds)
            seen[_what_a_reader_finds(stored())] += 1
            if number % 10 == 9:
                seconds = _whole_write(cluster, stored)
    print(f"{mount.source}: {KILLS} kills: {dict(seen)}", flush=True)
    assert not seen["a part under _SUCCESS"]


def _what_a_reader_finds(objects: dict[str, bytes]) -> str:
    rows = _rows(objects)
    if any(name.endswith("/_SUCCESS") for name in objects):
        return "all" if rows == list(range(ROWS)) else "a part under _SUCCESS"
    return "none" if not rows else "files without _SUCCESS"


def _rows(objects: dict[str, bytes]) -> list[int]:
    """The ids in what Spark would list: nothing below a name that begins with ``_`` or ``.``."""
    lines = [
        line
        for name, content in objects.items()
        if not any(part.startswith(("_", ".")) for part in name.split("/"))
        for line in content.decode().split()
    ]
    return sorted(int(line.removeprefix('{"id":').removesuffix("}")) for line in lines)


def _whole_write(cluster: MountedCluster, stored: Stored) -> float:
    """Let one write end; what killed ones left is gone. Gives its seconds."""
    job = cluster.start(WRITE, api="classic")
    seconds = [_said(cluster, job, word) for word in ("writing", "written")]
    assert cluster.ended(job).state == "SUCCEEDED"
    assert _what_a_reader_finds(stored()) == "all"
    return seconds[1] - seconds[0]


def _killed_write(cluster: MountedCluster, seconds: float) -> None:
    """Kill the driver so many seconds after it began to write."""
    job = cluster.start(WRITE, api="classic")
    _said(cluster, job, "writing")
    time.sleep(seconds)
    for process in _tree(cluster, job):
        process.kill()
    cluster.ended(job)


def _tree(cluster: MountedCluster, job: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get("AIRFLOW_ML_JOB") == job:
                yield process
        except psutil.Error:
            continue


def _said(cluster: MountedCluster, job: str, word: str) -> float:
    eventually(lambda: word in cluster.log(job).split("\n") or cluster.look(job).state.ended, within=300)
    return time.monotonic()
