"""One cluster for all tests of mounts: a real standalone one, with every mount that a server of the tests can hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.core.mounts import Credentials, Mount
from tests.mounts.clusters import MountedCluster, credentials, mounted_cluster
from tests.mounts.program import files_program, spark_program
from tests.servers.azurite import BlobServer
from tests.servers.gcs import GoogleServer, fake_gcs
from tests.servers.hdfs import hdfs
from tests.servers.minio import minio
from tests.servers.seaweedfs import S3Server

pytest.register_assert_rewrite("tests.mounts.contract")

CANARY = "canary-b1d7-never-shown"
ROLE = {"role_arn": "arn:aws:iam::1:role/reader"}
STORES = tuple(os.environ.get("SOAK_STORES", "s3 minio blob gcs hdfs folder").split())
# Opened by nobody: their settings alone are on the cluster.
KINDS: dict[str, tuple[str, Credentials]] = {
    "token": ("s3://token-bucket", Credentials("a", "aws", f"{CANARY}-1", CANARY, extra={"aws_session_token": f"{CANARY}-2"})),
    "role": ("s3://role-bucket", Credentials("b", "aws", f"{CANARY}-3", f"{CANARY}-4", extra=ROLE)),
    "sas": ("az://box", Credentials("c", "wasb", "sasaccount", extra={"sas_token": f"sv=1&sig={CANARY}-5"})),
    "principal": ("az://box", Credentials("d", "wasb", "client", f"{CANARY}-6", "spaccount", extra={"tenant_id": "tenant"})),
}


@pytest.fixture(scope="module")
def small_files() -> int:
    """How many files the operation ``many`` writes."""
    return int(os.environ.get("SOAK_FILES", "1000"))


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the cluster keeps Spark's event log."""
    return tmp_path_factory.mktemp("events")


@pytest.fixture(scope="module")
def google() -> Iterator[GoogleServer]:
    with fake_gcs() as server:
        yield server


@pytest.fixture(scope="module")
def sources(
    tmp_path_factory: pytest.TempPathFactory, seaweedfs: S3Server, azurite: BlobServer, google: GoogleServer
) -> Iterator[dict[str, tuple[str, Credentials | None]]]:
    """Each store's source and what opens it."""
    with minio() as other, hdfs() as name_node:
        yield {
            "s3": (f"s3://{seaweedfs.make('contract')}/raw data", credentials(seaweedfs.connection)),
            "minio": (f"s3://{other.make('other-contract')}/raw data", credentials(other.connection)),
            "blob": (f"az://{azurite.make('contract')}/raw data", credentials(azurite.connection)),
            "gcs": (f"gs://{google.make('contract')}/raw data", credentials(google.connection)),
            "hdfs": (f"{name_node}/raw data", None),
            "folder": (str(tmp_path_factory.mktemp("a folder of 50%")), None),
        }


@pytest.fixture(scope="module")
def cluster(
    spark_root: Path, events: Path, sources: dict[str, tuple[str, Credentials | None]], google: GoogleServer
) -> Iterator[MountedCluster]:
    mounts: dict[Mount, Credentials | None] = {Mount(name, source): opens for name, (source, opens) in sources.items()}
    mounts |= {Mount(f"{name}.ro", source, read_only=True): opens for name, (source, opens) in sources.items()}
    mounts |= {Mount(name, source): opens for name, (source, opens) in KINDS.items()}
    conf = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri(), "spark.eventLog.compress": "false"}
    conf |= {f"spark.{side}.extraJavaOptions": google.java_options for side in ("driver", "executor")}
    with mounted_cluster(spark_root, mounts, workers=1, worker={"cores": 2, "memory": "1g"}, spark_conf=conf) as made:
        yield made


@pytest.fixture(scope="module")
def results(cluster: MountedCluster, small_files: int) -> dict[str, dict[str, Any]]:
    """What each operation gave, by mount: DataFrames under Spark Connect first, then files by a classic program."""
    bases = {name: f"dbfs:/mnt/{name}" for name in STORES}
    found = {name: cluster.run(spark_program(base, small=small_files)) for name, base in bases.items()}
    of_files = cluster.run(files_program(list(bases.values())), api="classic")
    return {name: {**found[name], **of_files[base]} for name, base in bases.items()}
