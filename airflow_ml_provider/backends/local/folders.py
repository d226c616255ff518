"""Mounts as folders: an rclone process a mount, whose writing back is waited for. A source that is a folder is linked to.

rclone stores a file some time after the program closed it. So a job ends only when what it wrote is in the store, and a cluster
takes its folders down only when nothing is left to write. What a store refuses for good stays in the cluster's folder.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from airflow_ml_provider.backends.local.daemons import how, tail
from airflow_ml_provider.backends.local.fuse import find_rclone, mounted_below, unmount, unsaved
from airflow_ml_provider.backends.local.layout import ClusterFolder, make_folder
from airflow_ml_provider.backends.local.processes import descendants, spawn
from airflow_ml_provider.core.errors import ClusterFailed
from airflow_ml_provider.core.storage.rclone import FILE, place

VARIABLE = "AIRFLOW_ML_MOUNTS"
"""Names, to programs, the folder in which each mount with ``fuse=True`` is a folder of its name."""
CONFIG = f"file:{FILE}"
"""The text of rclone's configuration among a cluster's secrets."""
Names = set[tuple[str, str]]
"""Files of mounts: the mount's name, and the path in it."""
_NO_ENV: Mapping[str, str] = MappingProxyType({})
_SOCKET = "rc.sock"
_FLAGS = (
    *("--vfs-cache-mode", "full", "--vfs-write-back", "1s", "--vfs-cache-min-free-space", "1G", "--dir-cache-time", "1m"),
    *("--transfers", "8", "--retries", "1", "--low-level-retries", "3", "--timeout", "60s", "--contimeout", "15s"),
    *("--umask", "077", "--rc", "--rc-addr", f"unix://{_SOCKET}", "--rc-no-auth"),
)
_ENOUGH_TRIES = 3
_ASK_LIMIT = 5.0
_STOP_LIMIT = 10.0
_STRANGERS_LIMIT = 10.0
_PAUSE = 0.05


@dataclass
class Folder:
    """One mount and the process that shows it.

    :param point: where programs see it, links resolved.
    :param state: the process's socket, log and cache.
    """

    name: str
    point: Path
    state: Path
    process: subprocess.Popen[bytes]
    _notes: Path | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        return self.state / "rclone.log"

    def up(self) -> bool:
        return self.point in mounted_below(self.point)

    def waiting(self) -> dict[str, int]:
        """How often each file that waits for its upload was tried. A process that does not answer says nothing."""
        found = self.ask("vfs/queue").get("queue") or ()
        return {item["name"]: item["tries"] for item in found}

    def unwritten(self) -> set[str]:
        """The files that are not in the store yet: those that rclone has noted as changed, and those in its queue."""
        return {self._name(note) for note in unsaved(self.state)} | {*self.waiting()}

    def ask(self, method: str) -> dict[str, Any]:
        """One call of rclone's remote control; empty when it does not answer."""
        connection = _UnixConnection(self.state)
        try:
            connection.request("POST", f"/{method}")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        finally:
            connection.close()
        return found

    def stop(self) -> None:
        """Take it down. Programs that still hold files of it open lose them."""
        if self.point in mounted_below(self.point) and not unmount(self.point):
            unmount(self.point, lazily=True)
        try:
            self.process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _name(self, note: Path) -> str:
        if self._notes is None:
            known = (self.ask("vfs/stats").get("diskCache") or {}).get("pathMeta")
            if not known:
                return str(note)
            self._notes = Path(known)
        return str(note.relative_to(self._notes))


class Folders:
    """The folders of one cluster.

    :param asked: the plan's ``folders``: ``name``, ``read_only``, and the ``path`` to link to or None.
    :param config: the text of rclone's configuration, which is a secret.
    :param env: of rclone's processes.
    """

    def __init__(
        self, cluster: ClusterFolder, asked: Sequence[Mapping[str, Any]] = (), config: str = "", env: Mapping[str, str] = _NO_ENV
    ) -> None:
        self._cluster = cluster
        self._config = config
        self._env = {key: value for key, value in env.items() if not key.startswith("RCLONE_")}
        self._asked = asked
        self._all: list[Folder] = []

    @property
    def pids(self) -> set[int]:
        return {folder.process.pid for folder in self._all}

    def start(self) -> dict[str, str]:
        """Begin to show all of them; what programs are told of them, as variables."""
        if not self._asked:
            return {}
        self._write_config()
        for asked in self._asked:
            point = make_folder(self._cluster.mounts) / asked["name"]
            if asked["path"] is None:
                self._all.append(self._show(asked, make_folder(point).resolve()))
            else:
                Path(asked["path"]).mkdir(parents=True, exist_ok=True)
                point.symlink_to(asked["path"])
        return {VARIABLE: str(self._cluster.mounts)}

    def ready(self) -> bool:
        return all(folder.up() for folder in self._all)

    def ended(self, pid: int, code: int) -> None:
        """Take note that a process ended; :class:`ClusterFailed` says why when it was one of these."""
        for folder in self._all:
            if folder.process.pid == pid:
                said = tail(folder.log).strip().splitlines()
                why = said[-1] if said else "it said nothing"
                raise ClusterFailed(f"the folder of mount {folder.name!r} ended {how(code)}: {why}")

    def refresh(self) -> None:
        """Have programs that start now see what is in the stores now, whoever wrote it."""
        for folder in self._all:
            folder.ask("vfs/forget")

    def unwritten(self) -> Names:
        """What was written and closed, and is not in its store."""
        left = {(folder.name, file) for folder in self._all for file in folder.unwritten()}
        return left - set(self._held_open()) if left else left

    def refused(self, files: Names) -> dict[tuple[str, str], str]:
        """Those of the files that their stores did not take however often they were tried, and what rclone said last."""
        found = {}
        for folder in self._all:
            for file, tries in folder.waiting().items() if any(name == folder.name for name, _ in files) else ():
                if tries >= _ENOUGH_TRIES and (folder.name, file) in files:
                    said = next((line for line in reversed(tail(folder.log).splitlines()) if "ERROR" in line), "")
                    found[folder.name, file] = f"mount {folder.name!r}: {file!r} could not be written to its store: {said}"
        return found

    def end(self) -> None:
        """Wait until all is written back, or is refused; then take the folders down. Nothing may run in them any more."""
        moved = time.monotonic()
        while self._hopeful() and time.monotonic() - moved < _STRANGERS_LIMIT:
            if any(folder.waiting() for folder in self._all):
                moved = time.monotonic()
            time.sleep(_PAUSE)
        for folder in self._all:
            folder.stop()

    def _hopeful(self) -> bool:
        """True while a file that is not in its store may still get there."""
        living = {folder.name for folder in self._all if folder.process.poll() is None}
        left = {(name, file) for name, file in self.unwritten() if name in living}
        return bool(left - self.refused(left).keys())

    def _write_config(self) -> None:
        path = make_folder(self._cluster.folders) / FILE
        path.touch(mode=0o600)
        path.write_text(self._config, encoding="utf-8")

    def _show(self, asked: Mapping[str, Any], point: Path) -> Folder:
        name = asked["name"]
        state = make_folder(self._cluster.folders / name)
        flags = [*_FLAGS, *(["--read-only"] if asked["read_only"] else [])]
        where = ["--config", str(self._cluster.folders / FILE), "--cache-dir", str(state / "cache")]
        command = [str(find_rclone(self._env.get("PATH"))), "mount", place(name), str(point), *where, *flags]
        process = spawn(command, env=self._env, log=state / "rclone.log", cwd=state)
        return Folder(name, point, state, process)

    def _held_open(self) -> Iterator[tuple[str, str]]:
        """Files that a process of the cluster has open: whoever has them will write them, or end."""
        for link in _open_files():
            for folder in self._all:
                if link.startswith(f"{folder.point}{os.sep}"):
                    yield folder.name, link[len(str(folder.point)) + 1 :]


class _UnixConnection(http.client.HTTPConnection):
    """To the socket in a folder, however long the folder's path is."""

    def __init__(self, folder: Path) -> None:
        super().__init__("localhost", timeout=_ASK_LIMIT)
        self._folder = folder

    def connect(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{handle}/{_SOCKET}")
        finally:
            os.close(handle)


def _open_files() -> Iterator[str]:
    """Where the open files of every process below this one are; only names are read, so that no mount can block this."""
    for process in descendants():
        with contextlib.suppress(OSError):
            for handle in os.scandir(f"/proc/{process.pid}/fd"):
                with contextlib.suppress(OSError):
                    yield os.readlink(handle.path)  # noqa: PTH115 - a Path would be made of each
