"""Mounts as folders, on real stores: what programs write is in the store when the job ends, and nothing is ever deleted in it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.backends.local.folders import Folders
from airflow_ml_provider.backends.local.fuse import mounted_below
from airflow_ml_provider.backends.local.layout import ClusterFolder, make_folder
from airflow_ml_provider.core.mounts import Credentials, Mount, Opened, open_mount, with_mounts
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Node, PythonCode
from airflow_ml_provider.core.state import ClusterState, ClusterStatus, JobState, JobStatus
from airflow_ml_provider.core.storage.rclone import rclone_config
from tests.processes import eventually, processes_of
from tests.servers.azurite import BlobServer
from tests.servers.fuse import path_with_fuse
from tests.servers.seaweedfs import S3Server

ODD = "a b=c%d+é/x.txt"


class Shown:
    """A mount shown as a folder, as a supervisor does it."""

    def __init__(self, cluster: Path, mount: Mount, connection: Mapping[str, Any] | None) -> None:
        self.cluster = ClusterFolder(make_folder(cluster))
        opened = open_mount(mount, Credentials("store", **connection) if connection else None)
        asked = [{"name": mount.name, "read_only": mount.read_only, "path": None}]
        self.folders = Folders(self.cluster, asked, rclone_config({mount: opened}), dict(os.environ))
        self.folders.start()
        eventually(self.folders.ready, within=20)
        self.path = self.cluster.mounts / mount.name

    def write(self, name: str, content: bytes) -> None:
        """By another process, as programs do."""
        program = "import os, sys; os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)\n"
        program += "with open(sys.argv[1], 'wb') as file: file.write(sys.stdin.buffer.read())"
        subprocess.run([sys.executable, "-c", program, str(self.path / name)], input=content, check=True, timeout=30)

    def written(self) -> None:
        files = self.folders.unwritten()
        eventually(lambda: not files & self.folders.unwritten(), within=30)

    def end(self) -> list[str]:
        self.folders.end()
        return self.cluster.clear()


Show = Callable[[Mount, Mapping[str, Any]], Shown]


@pytest.fixture
def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Show]:
    """Whatever a test does, its mounts are gone before pytest removes its folder."""
    monkeypatch.setenv("PATH", path_with_fuse())
    shown: list[Shown] = []

    def begin(mount: Mount, connection: Mapping[str, Any]) -> Shown:
        shown.append(Shown(tmp_path / "cluster", mount, connection))
        return shown[-1]

    yield begin
    for one in shown:
        one.end()
        assert not mounted_below(one.cluster.path)


@pytest.fixture(scope="module")
def bucket(seaweedfs: S3Server) -> str:
    return seaweedfs.make("folders")


@pytest.fixture
def s3(seaweedfs: S3Server, bucket: str, show: Show) -> Shown:
    seaweedfs.client().put_object(Bucket=bucket, Key="raw/there", Body=b"before")
    return show(Mount("raw", f"s3://{bucket}/raw", "store"), seaweedfs.connection)


def read(server: S3Server, key: str) -> bytes:
    content: bytes = server.client().get_object(Bucket="folders", Key=f"raw/{key}")["Body"].read()
    return content


def test_what_is_written_is_in_the_store_once_it_is_waited_for(s3: Shown, seaweedfs: S3Server) -> None:
    assert (s3.path / "there").read_bytes() == b"before"
    big = os.urandom(20 << 20)
    for name, content in (("out/big", big), (ODD, b"odd"), ("empty", b"")):
        s3.write(name, content)
    assert len(s3.folders.unwritten()) == 3
    s3.written()
    assert [read(seaweedfs, name) for name in ("out/big", ODD, "empty")] == [big, b"odd", b""]
    seaweedfs.client().put_object(Bucket="folders", Key="raw/out/later", Body=b"x")
    s3.folders.refresh()
    assert {path.name for path in (s3.path / "out").iterdir()} == {"big", "later"}


def test_the_end_waits_and_leaves_nothing_here_and_everything_there(s3: Shown, seaweedfs: S3Server) -> None:
    content = os.urandom(5 << 20)
    s3.write("last", content)
    assert s3.end() == []
    assert read(seaweedfs, "last") == content
    assert read(seaweedfs, "there") == b"before"
    assert not s3.cluster.mounts.exists() and not s3.cluster.folders.exists()
    assert not mounted_below(s3.cluster.path)


def test_a_file_that_a_living_program_has_open_is_not_waited_for(s3: Shown) -> None:
    program = "import sys; file = open(sys.argv[1], 'w'); file.write('x'); file.flush(); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(s3.path / "open")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        s3.write("closed", b"x")
        s3.written()
        process.stdin.close()  # type: ignore[union-attr]
        process.wait(20)
    assert ("raw", "open") in s3.folders.unwritten()


def test_a_killed_rclone_loses_nothing_silently(s3: Shown, seaweedfs: S3Server) -> None:
    s3.write("lost", b"kept here")
    (pid,) = s3.folders.pids
    os.kill(pid, signal.SIGKILL)
    (told,) = s3.end()
    assert told.startswith("1 files that programs wrote into the folder of mount 'raw' are not in its store: they are kept in ")
    (kept,) = [path for path in s3.cluster.folders.rglob("lost") if "vfsMeta" not in path.parts]
    assert kept.read_bytes() == b"kept here"
    assert read(seaweedfs, "there") == b"before"
    assert not mounted_below(s3.cluster.path)


def test_no_secret_is_in_an_argument_and_none_is_readable(s3: Shown, seaweedfs: S3Server) -> None:
    (pid,) = s3.folders.pids
    assert not [word for word in psutil.Process(pid).cmdline() if seaweedfs.secret in word or seaweedfs.key in word]
    assert not [
        path
        for path in s3.cluster.path.rglob("*")
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077 and seaweedfs.secret.encode() in path.read_bytes()
    ]


def test_a_read_only_folder_refuses(seaweedfs: S3Server, bucket: str, show: Show) -> None:
    shown = show(Mount("raw", f"s3://{bucket}", "store", read_only=True), seaweedfs.connection)
    with pytest.raises(OSError, match="Read-only"):
        (shown.path / "x").write_bytes(b"x")
    assert shown.end() == []


def test_what_the_store_refuses_is_told_and_kept(azurite: BlobServer, show: Show) -> None:
    container = azurite.make("folders-refusing")
    shown = show(Mount("raw", f"az://{container}", "store"), azurite.connection)
    with azurite.client() as client:
        client.delete_container(container)
    shown.write("x", b"x")
    files = shown.folders.unwritten()
    (told,) = eventually(lambda: shown.folders.refused(files), within=40).values()
    assert told.startswith("mount 'raw': 'x' could not be written to its store: ") and "ContainerNotFound" in told
    assert len(shown.end()) == 1


def test_blob_storage_too(azurite: BlobServer, show: Show) -> None:
    container = azurite.make("folders")
    shown = show(Mount("raw", f"az://{container}/raw", "store"), azurite.connection)
    shown.write(ODD, b"odd")
    assert shown.end() == []
    with azurite.client() as client:
        assert client.get_blob_client(container, f"raw/{ODD}").download_blob().readall() == b"odd"


WRITE = """
import os, time
folder = os.environ["AIRFLOW_ML_MOUNTS"] + "/raw/job"
os.makedirs(folder, exist_ok=True)
with open(folder + "/{name}", "wb") as file:
    file.write(b"{name}" * 4_000_000)
print("closed", flush=True)
time.sleep({then})
"""


@pytest.fixture
def cluster(seaweedfs: S3Server, bucket: str, spark_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("PATH", path_with_fuse())
    seaweedfs.client().put_object(Bucket=bucket, Key="raw/there", Body=b"before")
    mount = Mount("raw", f"s3://{bucket}/raw", "store", fuse=True)
    running = Running(spark_root, {mount: open_mount(mount, Credentials("store", **seaweedfs.connection))})
    yield running
    running.end()
    assert not mounted_below(running.folder.path)
    assert read(seaweedfs, "there") == b"before"


class Running:
    """A cluster with folders, and jobs on it."""

    def __init__(self, root: Path, mounts: Mapping[Mount, Opened]) -> None:
        self.backend = LocalBackend(root)
        spec, secrets = with_mounts(ClusterSpec(driver=Node(cores=2, memory="1g"), idle_timeout=120), mounts)
        plan = self.backend.plan_cluster(spec)
        self.id = self.backend.create(plan, token=uuid.uuid4().hex[:24], secrets=secrets)
        self.folder = ClusterFolder(root / "clusters" / self.id)
        eventually(lambda: self.status().state is not ClusterState.PENDING, within=90)
        assert self.status().state is ClusterState.RUNNING, self.status()

    def status(self) -> ClusterStatus:
        return self.backend.describe([self.id])[self.id]

    def job(self, source: str) -> str:
        plan = self.backend.plan_job(JobSpec(name="test", program=PythonCode(source=source)))
        return self.backend.submit(self.id, plan, token=uuid.uuid4().hex[:24])

    def look(self, job: str) -> JobStatus:
        return self.backend.poll(self.id, [job])[job]

    def closes(self, job: str) -> None:
        """Wait until the job has closed its file, while it goes on."""
        eventually(lambda: "closed" in self.backend.logs(self.id, job).lines, within=30)

    def end(self) -> None:
        self.backend.terminate(self.id)
        eventually(lambda: self.status().state in (ClusterState.TERMINATED, ClusterState.FAILED), within=90)


def test_a_job_ends_when_its_files_are_stored_and_so_does_the_cluster(cluster: Running, seaweedfs: S3Server) -> None:
    job = cluster.job(WRITE.format(name="first", then=0))
    eventually(lambda: cluster.look(job).state.ended, within=60)
    assert cluster.look(job).state is JobState.SUCCEEDED, cluster.look(job)
    assert len(read(seaweedfs, "job/first")) == 20_000_000
    cluster.closes(cluster.job(WRITE.format(name="second", then=600)))
    cluster.end()
    assert cluster.status().state is ClusterState.TERMINATED
    assert len(read(seaweedfs, "job/second")) == 24_000_000
    assert not cluster.folder.folders.exists() and not cluster.folder.mounts.exists()


@pytest.mark.soak
def test_a_killed_supervisor_tells_what_is_not_stored(cluster: Running, seaweedfs: S3Server) -> None:
    cluster.closes(cluster.job(WRITE.format(name="lost", then=600)))
    both = [process for process in processes_of(cluster.folder.path) if "local.supervisor" in " ".join(process.cmdline())]
    next(process for process in both if process.ppid() in {other.pid for other in both}).kill()
    eventually(lambda: cluster.status().state is ClusterState.FAILED, within=60)
    assert "was killed by signal 9; 1 files that programs wrote into the folder of mount 'raw'" in cluster.status().message
    assert not (cluster.folder.folders / "rclone.conf").exists()
