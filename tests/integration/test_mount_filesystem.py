"""``mount://`` on real stores: S3 and Blob."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from airflow_ml_provider.filesystems.copying import Copier
from airflow_ml_provider.filesystems.matching import matches
from airflow_ml_provider.filesystems.mount import MountFileSystem
from airflow_ml_provider.hooks.mount import MountHook
from tests.servers.azurite import BlobServer
from tests.servers.seaweedfs import S3Server

NAMES = ("plain.txt", "with space.txt", "k=1/part-0", "a+b%20.txt", "é ☃/ü.txt")


@pytest.fixture(scope="module")
def mounted(seaweedfs: S3Server, azurite: BlobServer) -> Iterator[MountFileSystem]:
    """The mounts ``s3``, ``s3_too`` (another place in the same store) and ``blob``."""
    bucket, container = seaweedfs.make("filesystem"), azurite.make("filesystem")
    blob = f"wasbs://{container}@{azurite.account}.blob.core.windows.net/deep/down"
    sources = {"s3": (f"s3://{bucket}/one", "store"), "s3_too": (f"s3://{bucket}/two", "store"), "blob": (blob, "blobs")}
    with pytest.MonkeyPatch.context() as patch:
        for name, server in (("STORE", seaweedfs), ("BLOBS", azurite)):
            patch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(server.connection))
        for name, (source, conn_id) in sources.items():
            extra = {"source": source, "credentials_conn_id": conn_id}
            patch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps({"conn_type": "mount", "extra": extra}))
        yield MountFileSystem()


@pytest.mark.parametrize("name", ["s3", "blob"])
def test_a_store_by_its_mounts_name(mounted: MountFileSystem, name: str) -> None:
    for file in NAMES:
        mounted.pipe_file(f"{name}/in/{file}", file.encode())
    assert mounted.find(f"mount://{name}/in") == sorted(f"{name}/in/{file}" for file in NAMES)
    for file in NAMES:
        assert mounted.cat_file(f"{name}/in/{file}") == file.encode()
        assert mounted.info(f"{name}/in/{file}")["size"] == len(file.encode())
    with mounted.open(f"{name}/in/big", "wb") as written:
        written.write(b"x" * (6 << 20))
    with mounted.open(f"{name}/in/big", "rb") as read:
        read.seek(5 << 20)
        assert len(read.read()) == 1 << 20
    found = matches(
        mounted, f"{name}/in", [f"mount://{name}/in/*.txt", f"mount://{name}/in/**/part-*", f"mount://{name}/in/none"]
    )
    assert [[file.path.rpartition("/in/")[2] for file in files] for files in found.values()] == [
        ["a+b%20.txt", "plain.txt", "with space.txt"],
        ["k=1/part-0"],
        [],
    ]
    assert all(file.modified for files in found.values() for file in files)
    mounted.mv(f"{name}/in/plain.txt", f"{name}/moved.txt")
    assert mounted.exists(f"{name}/moved.txt") and not mounted.exists(f"{name}/in/plain.txt")
    mounted.rm(f"{name}/in", recursive=True)
    assert not mounted.exists(f"{name}/in/big")


def test_the_button_lists_the_source(mounted: MountFileSystem, monkeypatch: pytest.MonkeyPatch, seaweedfs: S3Server) -> None:
    mounted.pipe_file("s3_too/a", b"1")
    ready, message = MountHook("s3_too").test_connection()
    assert ready, message
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps({**seaweedfs.connection, "password": "wrong-canary"}))
    ready, message = MountHook("s3_too").test_connection()
    assert not ready
    assert "wrong-canary" not in message


def test_copies_stay_in_the_store_or_are_compared(mounted: MountFileSystem) -> None:
    big = bytes(range(256)) * (40 << 10)
    mounted.pipe_file("s3/copy/big", big)
    for file in NAMES:
        mounted.pipe_file(f"s3/copy/{file}", file.encode())
    within = list(Copier(mounted).copy("s3/copy", "s3_too/copied"))
    assert [copied.by_store for copied in within] == [True] * 6
    across = list(Copier(mounted).copy("s3/copy", "blob/copied"))
    assert [copied.by_store for copied in across] == [False] * 6
    assert hashlib.sha256(mounted.cat_file("blob/copied/big")).digest() == hashlib.sha256(big).digest()
    assert mounted.cat_file("blob/copied/é ☃/ü.txt") == "é ☃/ü.txt".encode()
    mounted.pipe_file("blob/copied/plain.txt", b"cut")
    again = {copied.path: copied.skipped for copied in Copier(mounted).copy("s3/copy", "blob/copied")}
    assert [path for path, skipped in again.items() if not skipped] == ["blob/copied/plain.txt"]
    assert mounted.cat_file("blob/copied/plain.txt") == b"plain.txt"
