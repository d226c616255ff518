"""Mounts on real servers, through Spark Connect and a classic program, with executors in processes of their own.

SOAK_STORES names the stores, SOAK_FILES (1000) how many small files each gets.
"""

from __future__ import annotations

import json
import stat
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.mounts.clusters import MountedCluster
from tests.mounts.conftest import STORES
from tests.mounts.contract import MountContract
from tests.processes import processes_of
from tests.servers.azurite import BlobServer
from tests.servers.seaweedfs import S3Server

pytestmark = pytest.mark.soak  # two minutes on a busy machine


MIB = 2048
IN_MEMORY = {
    "blob": "Azurite keeps all in memory, as its files on disk leak handles",
    "gcs": "fake-gcs-server keeps all in memory",
}
"""Stores without the large file, and why."""


class TestSeaweedfs(MountContract):
    mount = "s3"
    cannot = {"deleted": "SeaweedFS keeps a folder for a while whose last object is deleted, and tells of it"}


class TestMinio(MountContract):
    mount = "minio"


class TestBlob(MountContract):
    mount = "blob"


class TestGoogle(MountContract):
    mount = "gcs"


class TestHdfs(MountContract):
    mount = "hdfs"


class TestFolder(MountContract):
    mount = "folder"


LARGE = """
import json, os
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
place = "dbfs:/mnt/%s/large"
spark.range(0, {mib}, 1, 1).select(F.repeat(F.lit("x"), (1 << 20) - 1).alias("value")).write.mode("overwrite").text(place)
read = spark.read.text(place).agg(F.count("*"), F.sum(F.length("value"))).first()
files = [row.path for row in spark.read.format("binaryFile").load(place).select("path").collect()]
spark.range(0).write.mode("overwrite").parquet(place)
json.dump([len(files), *read], open(os.environ["AIRFLOW_ML_RESULT"], "w"))
""".replace("{mib}", str(MIB))


@pytest.mark.parametrize("store", [store for store in STORES if store not in IN_MEMORY])
def test_one_large_file(cluster: MountedCluster, store: str) -> None:
    assert cluster.run(LARGE % store) == [1, MIB, MIB * ((1 << 20) - 1)]


READ_ONLY = """
import json, os
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()

def told(call):
    try:
        return call()
    except Exception as error:
        return str(error).splitlines()[0]

found = {}
for name in %r:
    base = f"dbfs:/mnt/{name}.ro"
    found[name] = [
        told(lambda: spark.read.json(base + "/json").count()),
        *(told(lambda: spark.range(3).write.mode(mode).json(base + path))
          for path, mode in (("/json", "overwrite"), ("/json", "append"), ("/new", "error"))),
        told(lambda: spark.read.json(f"dbfs:/mnt/{name}/json").count()),
    ]
json.dump(found, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""


def test_read_only_mounts_refuse_writes_and_lose_nothing(cluster: MountedCluster, results: object) -> None:
    for before, *refused, after in cluster.run(READ_ONLY % (STORES,)).values():
        assert (before, after) == (5, 5)
        assert all("it is mounted read-only" in message for message in refused), refused


def test_s3_output_is_committed_without_a_rename(seaweedfs: S3Server, results: object) -> None:
    client = seaweedfs.client()
    told = client.get_object(Bucket="contract", Key="raw data/table/_SUCCESS")["Body"].read()
    assert b"MagicS3GuardCommitter" in told
    keys = [item["Key"] for item in client.list_objects_v2(Bucket="contract")["Contents"]]
    assert not [key for key in keys if "__magic" in key or "_temporary" in key or "_unfinished/" in key]


def test_blob_output_is_committed_by_manifests(azurite: BlobServer, results: object) -> None:
    with azurite.client() as client:
        told = client.get_blob_client("contract", "raw data/table/_SUCCESS").download_blob().readall()
    assert b"ManifestCommitter" in told


def test_no_secret_is_seen(
    cluster: MountedCluster, events: Path, seaweedfs: S3Server, azurite: BlobServer, results: object
) -> None:
    secrets = [text.encode() for text in ("never-shown", seaweedfs.key, seaweedfs.secret, azurite.key, "BEGIN PRIVATE KEY")]
    seen = dict(_seen(cluster, events))
    assert any("environment" in place for place in seen) and any("events" in place for place in seen)
    assert b"fs.s3a.bucket.token-bucket.session.token" in b"".join(seen.values())
    assert not {place: secret for place, content in seen.items() for secret in secrets if secret in content}


def test_secret_files_are_for_their_owner_alone(cluster: MountedCluster) -> None:
    files = list((cluster.folder / "scratch" / "private").iterdir())
    assert {path.name for path in files} == {"core-site.xml", "google-store.json"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert stat.S_IMODE(files[0].parent.stat().st_mode) == 0o700


def _seen(cluster: MountedCluster, events: Path) -> Iterator[tuple[str, bytes]]:
    """Everything that somebody may see of a cluster: pages, the event log, command lines, plans, statuses and logs."""
    for page in (f"{cluster.ui_url}/environment/", *_rest(f"{cluster.ui_url}/api/v1/applications")):
        yield page, _get(page)
    for path in (path for path in events.rglob("*") if path.is_file()):
        yield str(path), path.read_bytes()
    for process in processes_of(cluster.folder):
        yield f"process {process.pid}", _command(process)
    for path in cluster.folder.rglob("*"):
        private = path.name == "secrets.json" or path.parent.name == "private"  # for their owner alone, as another test says
        if path.is_file() and path.suffix in (".json", ".log") and not private:
            yield str(path), path.read_bytes()


def _rest(applications: str) -> Iterator[str]:
    for found in json.loads(_get(applications)):
        yield f"{applications}/{found['id']}/environment"


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        content: bytes = answer.read()
    return content


def _command(process: psutil.Process) -> bytes:
    try:
        return " ".join(process.cmdline()).encode()
    except psutil.Error:
        return b""
