"""The folders that hold a cluster's state, mode 0700, and how two processes meet in them without ever seeing half a file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_ml_provider.backends.local.fuse import release, settle

_OWNER_ONLY = 0o700
_TRIES = 20
_PAUSE = 0.05


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Replace the file at once: a reader sees the old document or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def read_json(path: Path) -> dict[str, Any] | None:
    """The document, or None when there is none.

    :raises ValueError: the file is damaged: it holds no JSON object.
    """
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: expected a JSON object, got {type(found).__name__}")
    return found


def read_known(path: Path) -> dict[str, Any]:
    """The document, or an empty one when the file does not exist or is damaged: for whoever writes it anew."""
    try:
        return read_json(path) or {}
    except ValueError:
        return {}


def make_folder(path: Path) -> Path:
    """A folder that only its owner reads."""
    path.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
    path.chmod(_OWNER_ONLY)
    return path


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One process at a time, in a folder that is made if need be: what the others wait for may be there once it is their turn."""
    make_folder(lock.parent)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def appear(path: Path, files: Mapping[str, Mapping[str, Any]]) -> bool:
    """Make a folder with these JSON files in it, at once. False when it is there already."""
    if path.exists():
        return False
    made = Path(tempfile.mkdtemp(dir=path.parent, prefix=".new-"))
    try:
        for name, document in files.items():
            write_json(made / name, document)
        os.rename(made, path)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return False
        raise
    return True


@dataclass(frozen=True, slots=True)
class JobFolder:
    """What is known of one job."""

    path: Path

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def secrets(self) -> Path:
        return self.path / "secrets.json"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def log(self) -> Path:
        return self.path / "driver.log"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def error(self) -> Path:
        """Where the program's last error is noted."""
        return self.path / "error.json"

    @property
    def cancel(self) -> Path:
        """There when somebody asked for the job's end."""
        return self.path / "cancel"

    @property
    def scratch(self) -> Path:
        """The program's working directory, removed when it has ended."""
        return self.path / "scratch"


@dataclass(frozen=True, slots=True)
class ClusterFolder:
    """What is known of one cluster."""

    path: Path

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def secrets(self) -> Path:
        return self.path / "secrets.json"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def log(self) -> Path:
        """What the supervisor says."""
        return self.path / "supervisor.log"

    @property
    def jobs(self) -> Path:
        return self.path / "jobs"

    @property
    def scratch(self) -> Path:
        """Everything that goes when the cluster ends: configuration, shuffle files, the daemons' logs."""
        return self.path / "scratch"

    @property
    def mounts(self) -> Path:
        """Mounts as folders. Other people's data lies below it: it is never removed as a tree."""
        return self.path / "mounts"

    @property
    def folders(self) -> Path:
        """What the processes behind ``mounts`` keep: sockets, logs, and what is not yet written to the stores."""
        return self.path / "folders"

    @property
    def terminate(self) -> Path:
        """There when somebody asked for the cluster's end."""
        return self.path / "terminate"

    @property
    def _nudge(self) -> Path:
        return self.path / "nudge"

    @property
    def _lock(self) -> Path:
        return self.path / "lock"

    def job(self, job: str) -> JobFolder:
        return JobFolder(self.jobs / job)

    def job_folders(self) -> Iterator[tuple[str, JobFolder]]:
        """Every job by id."""
        if self.jobs.is_dir():
            for path in sorted(self.jobs.iterdir()):
                if not path.name.startswith("."):
                    yield path.name, JobFolder(path)

    def hold(self) -> int | None:
        """Take the lock that a supervisor holds for its whole life: a file descriptor, or None when another one holds it."""
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        for _ in range(_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE)  # whoever asks is_held() holds it for a moment
            else:
                return handle
        os.close(handle)
        return None

    def is_held(self) -> bool:
        """True while a supervisor lives."""
        try:
            handle = os.open(self._lock, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def open_nudge(self) -> int:
        """The supervisor's end of the pipe that wakes it."""
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._nudge, 0o600)
        return os.open(self._nudge, os.O_RDWR | os.O_NONBLOCK)

    def nudge(self) -> None:
        """Wake the supervisor, which looks by itself each second anyway."""
        try:
            handle = os.open(self._nudge, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT):
                return
            raise
        try:
            with contextlib.suppress(BlockingIOError):
                os.write(handle, b"!")
        finally:
            os.close(handle)

    def clear(self) -> list[str]:
        """Remove what an ended cluster needs no more; what became of it and of its jobs stays.

        :returns: a sentence for each mount whose folder holds what is not in its store; that stays too.
        """
        for path in (self.secrets, self._nudge):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)
        for _, job in self.job_folders():
            job.secrets.unlink(missing_ok=True)
            shutil.rmtree(job.scratch, ignore_errors=True)
        return settle(self.mounts, self.folders)

    def remove(self) -> None:
        """Remove all that is left of an ended cluster, unless a mount of it cannot be taken down."""
        if release(self.mounts):
            shutil.rmtree(self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Root:
    """The folder of every cluster of one connection."""

    path: Path

    @property
    def clusters(self) -> Path:
        return self.path / "clusters"

    @property
    def cache(self) -> Path:
        """What outlives a cluster and can be made again."""
        return self.path / "cache"

    def cluster(self, cluster: str) -> ClusterFolder:
        return ClusterFolder(self.clusters / cluster)

    def cluster_folders(self) -> Iterator[tuple[str, ClusterFolder]]:
        """Every cluster by id, the ended ones too."""
        if self.clusters.is_dir():
            for path in sorted(self.clusters.iterdir()):
                if not path.name.startswith("."):
                    yield path.name, ClusterFolder(path)
