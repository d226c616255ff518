"""Mounts of real stores that somebody else writes meanwhile: nothing stale, every name, no way out, and no client that is left over."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from airflow.sdk.io.store import _STORE_CACHE

from airflow_ml_provider.core.errors import AccessDenied, ConfigurationError, SpecError, Unavailable
from airflow_ml_provider.filesystems.copying import Copier
from airflow_ml_provider.filesystems.matching import matches
from airflow_ml_provider.filesystems.mount import MountFileSystem
from airflow_ml_provider.hooks.mount import MountHook
from airflow_ml_provider.hooks.stores import forget_store
from airflow_ml_provider.sensors.mount import MountFileSensor
from airflow_ml_provider.triggers.mount import FolderPoller, MountFileTrigger
from tests.processes import eventually
from tests.servers.azurite import BlobServer
from tests.servers.process import free_ports
from tests.servers.seaweedfs import S3Server
from tests.servers.sftp import sftp_server

STORES = ("s3", "blob", "sftp")


class Store(NamedTuple):
    """A mount, and how another process writes into it.

    :param source: a template of sources, for a folder in it.
    """

    mount: str
    put: Callable[[str, bytes], Any]
    source: str
    conn_id: str


def connect(patch: pytest.MonkeyPatch, name: str, source: str, conn_id: str, **extra: Any) -> None:
    fields = {"source": source, "credentials_conn_id": conn_id, **extra}
    patch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps({"conn_type": "mount", "extra": fields}))


@pytest.fixture(scope="module")
def stores(seaweedfs: S3Server, azurite: BlobServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Store]]:
    root = tmp_path_factory.mktemp("sftp")
    (root / "in").mkdir()
    bucket, container = seaweedfs.make("freshness"), azurite.make("freshness")
    s3, blobs = seaweedfs.client(), azurite.client()

    def put_file(name: str, data: bytes) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    def put_blob(name: str, data: bytes) -> None:
        blobs.get_blob_client(container, name).upload_blob(data, overwrite=True)

    def put_object(name: str, data: bytes) -> None:
        s3.put_object(Bucket=bucket, Key=name, Body=data)

    with pytest.MonkeyPatch.context() as patch, sftp_server(root) as server, blobs:
        for name, connection in (("THE_S3", seaweedfs), ("THE_BLOB", azurite), ("THE_SFTP", server)):
            patch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection.connection))
        found = {
            "s3": Store("s3", put_object, f"s3://{bucket}/%s", "the_s3"),
            "blob": Store("blob", put_blob, f"wasbs://{container}@{azurite.account}.blob.core.windows.net/%s", "the_blob"),
            "sftp": Store("sftp", put_file, f"{server.source}%s", "the_sftp"),
        }
        for name, store in found.items():
            connect(patch, name, store.source % "in", store.conn_id)
        yield found
        s3.close()
        _STORE_CACHE.clear()  # Airflow keeps the filesystem of each ObjectStoragePath, and with it the connection to the server


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, stores: dict[str, Store]) -> Store:
    return stores[request.param]


def poke(path: str, **kwargs: Any) -> Any:
    found = MountFileSensor(task_id="wait", path=path, deferrable=False, **kwargs).poke({})
    return found.xcom_value if found.is_done else None


def test_a_sensor_sees_what_comes_after_its_first_look(store: Store) -> None:
    folder = f"mount://{store.mount}/waits"
    store.put("in/waits/old.csv", b"1")
    assert poke(f"{folder}/new.csv") is None
    assert poke(f"{folder}/*.csv", min_files=2) is None
    store.put("in/waits/new.csv", b"1")
    assert poke(f"{folder}/new.csv") == [f"{folder}/new.csv"]
    assert poke(f"{folder}/*.csv", min_files=2) == [f"{folder}/new.csv", f"{folder}/old.csv"]


def test_a_task_sees_what_another_one_writes(store: Store) -> None:
    from airflow.sdk import ObjectStoragePath

    folder = ObjectStoragePath(f"mount://{store.mount}/task")
    store.put("in/task/a", b"one")
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert not (folder / "b").exists()
    assert (folder / "a").read_bytes() == b"one"
    store.put("in/task/a", b"changed")
    store.put("in/task/b", b"2")
    assert (folder / "b").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]
    assert (folder / "a").read_bytes() == b"changed"
    assert (folder / "a").stat().st_size == 7


def test_brackets_are_part_of_a_name(store: Store) -> None:
    from airflow.sdk import ObjectStoragePath

    for name in ("br1.txt", "br[1].txt", "x#1%20.txt", "d[1]/a", "d1/a"):
        store.put(f"in/names/{name}", name.encode())
    filesystem, folder = MountFileSystem(), f"mount://{store.mount}/names"
    assert poke(f"{folder}/br[1].txt") == [f"{folder}/br[1].txt"]
    assert poke(f"{folder}/br[1]*") == [f"{folder}/br[1].txt"]
    assert poke(f"{folder}/d[1]/*") == [f"{folder}/d[1]/a"]
    assert filesystem.glob(f"{folder}/br[1].*") == [f"{store.mount}/names/br[1].txt"]
    assert filesystem.cat_file(f"{folder}/x#1%20.txt") == b"x#1%20.txt"
    assert filesystem.cat(f"{folder}/br[1].txt") == b"br[1].txt"
    filesystem.cp_file(f"{folder}/br[1].txt", f"{folder}/new[2].txt")
    filesystem.mv(f"{folder}/br[1].txt", f"{folder}/moved[1].txt")
    assert filesystem.cat_file(f"{folder}/moved[1].txt") == b"br[1].txt"
    ObjectStoragePath(f"{folder}/moved[1].txt").unlink()
    filesystem.rm(f"{folder}/d[1]", recursive=True)
    left = sorted(name.partition("/names/")[2] for name in filesystem.find(folder))
    assert left == ["br1.txt", "d1/a", "new[2].txt", "x#1%20.txt"]


def test_download_keeps_within_its_folder(stores: dict[str, Store], tmp_path: Path) -> None:
    store = stores["s3"]
    for name in ("br[1].txt", "br1.txt"):
        store.put(f"in/down/{name}", name.encode())
    filesystem = MountFileSystem()
    filesystem.get("s3/down/br[1].txt", f"{tmp_path}/")
    filesystem.get("s3/down", f"{tmp_path}/all", recursive=True)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.txt")) == [
        "all/br1.txt",
        "all/br[1].txt",
        "br[1].txt",
    ]


def test_nothing_leads_out_of_a_mount(store: Store) -> None:
    store.put("secret.txt", b"another team's")
    store.put("in/a", b"1")
    filesystem = MountFileSystem()
    for path in ("../secret.txt", "x/../../secret.txt", "..\\secret.txt"):
        with pytest.raises(SpecError, match=r"takes one without '\.\.'"):
            filesystem.cat_file(f"mount://{store.mount}/{path}")
    for path in ("%2e%2e/secret.txt", ".%2e/secret.txt", "..%2fsecret.txt", "%2e%2e%2fsecret.txt", "/secret.txt", "//secret.txt"):
        with pytest.raises(FileNotFoundError):
            filesystem.cat_file(f"mount://{store.mount}/{path}")


def test_a_name_from_a_store_leads_nowhere_in_another(stores: dict[str, Store]) -> None:
    """A key of S3 is any text. SeaweedFS has folders, so that the listing is that of another S3."""
    filesystem = MountFileSystem()
    stores["s3"].put("in/copy/a", b"1")
    info = {**filesystem.info("s3/copy/a"), "name": "s3/copy/a/../../../secret.txt"}
    with pytest.raises(SpecError, match="could lead out of the mount"):
        list(Copier(filesystem).copy_each({info["name"]: "sftp/copied/a"}))
    with pytest.raises(SpecError, match="could lead out of the mount"):
        list(Copier(filesystem).copy_each({"s3/copy/a": "sftp/copied/../../secret.txt"}))


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """moto, at which roles are assumed."""
    from moto.server import ThreadedMotoServer

    (port,) = free_ports(1)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{port}")
    yield
    server.stop()


def connections(port: int) -> int:
    return sum(bool(one.raddr) and one.raddr.port == port for one in psutil.Process().net_connections("tcp"))


def test_a_mount_has_one_filesystem_however_often_its_credentials_change(
    seaweedfs: S3Server, azurite: BlobServer, sts: None, stores: dict[str, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role is a session, which is never equal to another one; a new password is a new argument."""
    from adlfs import AzureBlobFileSystem
    from s3fs import S3FileSystem

    forget_store()
    gc.collect()
    kinds = (S3FileSystem, AzureBlobFileSystem)
    before = sum(isinstance(one, kinds) for one in gc.get_objects())
    kept = sum(len(kind._cache) for kind in kinds)
    port = int(seaweedfs.endpoint.rpartition(":")[2])
    opened = connections(port)
    for number in range(6):
        extra = {**seaweedfs.connection["extra"], "role_arn": f"arn:aws:iam::123456789012:role/r{number}"}
        monkeypatch.setenv("AIRFLOW_CONN_THE_ROLE", json.dumps({**seaweedfs.connection, "extra": extra}))
        connect(monkeypatch, "by_role", stores["s3"].source % "in", "the_role")
        assert MountHook("by_role").filesystem is MountHook("by_role").filesystem
        changed = {**seaweedfs.connection, "extra": {**seaweedfs.connection["extra"], "note": number}}
        monkeypatch.setenv("AIRFLOW_CONN_THE_S3", json.dumps(changed))
        MountFileSystem().find("s3/")
        monkeypatch.setenv("AIRFLOW_CONN_THE_BLOB", json.dumps({**azurite.connection, "extra": {"note": number}}))
        MountFileSystem().find("blob/")
    gc.collect()
    assert sum(isinstance(one, kinds) for one in gc.get_objects()) - before <= 3
    assert sum(len(kind._cache) for kind in kinds) == kept
    assert connections(port) - opened <= 3


def test_a_lost_connection_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("1")
    with sftp_server(tmp_path) as server:
        monkeypatch.setenv("AIRFLOW_CONN_THE_OTHER", json.dumps(server.connection))
        connect(monkeypatch, "other", server.source, "the_other")
        filesystem = MountFileSystem()
        assert filesystem.cat_file("other/a") == b"1"
        opened = filesystem.place("other/a").filesystem
        opened.loop.call_soon_threadsafe(opened.client.abort)
        eventually(opened.client.is_closed)
        assert filesystem.cat_file("other/a") == b"1"


def refused(patch: pytest.MonkeyPatch, kind: str, stores: dict[str, Store]) -> str:
    """A mount behind whose address nobody listens."""
    (port,) = free_ports(1)
    connection: dict[str, Any] = {
        "s3": {"conn_type": "aws", "login": "k", "password": "s", "extra": {"endpoint_url": f"http://127.0.0.1:{port}"}},
        "blob": {"conn_type": "wasb", "login": "a", "password": "a2V5", "host": f"http://127.0.0.1:{port}/a"},
        "sftp": {"conn_type": "sftp", "login": "u", "password": "p", "extra": {"no_host_key_check": "true"}},
    }[kind]
    source = {"s3": "s3://b/x", "blob": "wasbs://c@a.blob.core.windows.net/x", "sftp": f"sftp://127.0.0.1:{port}/x"}[kind]
    patch.setenv("AIRFLOW_CONN_THE_REFUSED", json.dumps(connection))
    connect(patch, "refused", source, "the_refused")
    return "refused"


@pytest.mark.parametrize("kind", ["s3", "sftp"])  # the retries of azure-core take 40 s, and are the same table's
def test_a_store_that_nobody_reaches_is_waited_for(kind: str, stores: dict[str, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    name = refused(monkeypatch, kind, stores)
    assert poke(f"mount://{name}/a.csv") is None
    with pytest.raises(Unavailable):
        matches(MountFileSystem(), name, [f"mount://{name}/a.csv"])


@pytest.mark.parametrize("kind", STORES)
def test_a_denied_look_is_final(kind: str, stores: dict[str, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    conn_id = stores[kind].conn_id.upper()
    right = json.loads(os.environ[f"AIRFLOW_CONN_{conn_id}"])
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id}", json.dumps({**right, "password": "d3Jvbmc="}))
    with pytest.raises((AccessDenied, ConfigurationError)):
        poke(f"mount://{kind}/waits/*.csv")


async def _event(trigger: MountFileTrigger) -> Any:
    async for event in trigger.run():
        return event.payload


def test_a_trigger_waits_a_fault_out_and_tells_of_a_denial(stores: dict[str, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    name = refused(monkeypatch, "sftp", stores)
    waiting = MountFileTrigger(f"mount://{name}/a.csv", 1, 0.0, 0.1, deadline=time.time() + 0.5)
    assert asyncio.run(_event(waiting))["outcome"] == "timeout"
    right = json.loads(os.environ["AIRFLOW_CONN_THE_S3"])
    monkeypatch.setenv("AIRFLOW_CONN_THE_S3", json.dumps({**right, "password": "wrong"}))
    told = asyncio.run(_event(MountFileTrigger("mount://s3/a.csv", 1, 0.0, 0.1)))
    assert told["outcome"] == "error"
    assert told["message"].startswith("mount://s3: PermissionError: ")


def test_no_part_of_a_file_is_left(store: Store) -> None:
    """fsspec closes a file that an error leaves, and so uploads what it has."""
    filesystem, path = MountFileSystem(), f"{store.mount}/parts/a"
    filesystem.makedirs(f"{store.mount}/parts", exist_ok=True)
    with pytest.raises(OSError, match="the source is gone"), filesystem.open_whole(path) as file:
        file.write(b"part")
        raise OSError("the source is gone")
    assert not filesystem.exists(path)
    with filesystem.open_whole(path) as file:
        file.write(b"whole")
    assert filesystem.cat_file(path) == b"whole"


def test_a_waiting_poller_takes_up_new_credentials(
    seaweedfs: S3Server, stores: dict[str, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores["s3"].put("in/rotates/a.csv", b"1")
    poller, pattern = FolderPoller("s3/rotates"), "mount://s3/rotates/*.csv"
    assert len(poller.statuses([pattern])[pattern]) == 1
    monkeypatch.setenv("AIRFLOW_CONN_THE_S3", json.dumps({**seaweedfs.connection, "password": "wrong"}))
    poller._filesystem.reopen()
    with pytest.raises(AccessDenied):
        poller.statuses([pattern])
    monkeypatch.setenv("AIRFLOW_CONN_THE_S3", json.dumps(seaweedfs.connection))
    assert len(poller.statuses([pattern])[pattern]) == 1
