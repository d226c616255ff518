"""The Spark daemons of a cluster: started one after the other without ever waiting, watched through their logs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_ml_provider.backends.local import commands
from airflow_ml_provider.backends.local.commands import Installation, Site
from airflow_ml_provider.backends.local.processes import spawn
from airflow_ml_provider.core.backend import Plan
from airflow_ml_provider.core.errors import ClusterFailed

_MASTER_UP = re.compile(r"Starting Spark master at (spark://\S+)")
_WORKER_UP = re.compile(r"Successfully registered with master")
_CONNECT_UP = re.compile(r"Spark Connect server started at: \S*:(\d+)")
_UI_UP = re.compile(r"Successfully started service 'SparkUI' on port (\d+)")
_LAST = 64 * 1024
_CAUSES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"No space left on device"), "the disk is full: make room, or give the connection another staging_uri"),
    (
        re.compile(r"java\.lang\.OutOfMemoryError|Could not reserve enough space|insufficient memory|Too small maximum heap"),
        "out of memory in the driver, whose heap is {memory}: raise driver.memory",
    ),
    (
        re.compile(r"BindException|Address already in use"),
        "a port is taken: leave the port out of spark_conf, and a free one is chosen",
    ),
    (re.compile(r"UnsupportedClassVersionError"), "the JDK is too old for this Spark: set JAVA_HOME to a later one"),
)
_TELLING = re.compile(r"^(?:Exception|Error|Caused by|.*\b(?:ERROR|FATAL)\b).*$", re.MULTILINE)


@dataclass(slots=True)
class Daemon:
    """One process and its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def said(self, what: re.Pattern[str]) -> re.Match[str] | None:
        """The first place in its log that matches."""
        return what.search(self.log.read_text(encoding="utf-8", errors="replace"))


@dataclass
class Daemons:
    """The daemons of one cluster.

    :param env: of each process.
    :param memory: the driver's heap.
    :param conf: Spark properties that every application shares.
    :param base_python: the interpreter under the one that has the cluster's libraries.
    """

    plan: Plan
    made_of: Installation
    site: Site
    env: Mapping[str, str]
    memory: str
    conf: Mapping[str, str]
    base_python: str
    running: dict[int, Daemon] = field(default_factory=dict)
    master_url: str | None = None
    port: int | None = None
    ui_url: str | None = None
    _master: Daemon | None = None
    _workers: list[Daemon] = field(default_factory=list)
    connect: Daemon | None = None

    def advance(self) -> bool:
        """Start what can be started by now; True when the Spark Connect server takes calls."""
        if not self.plan["workers"]:
            self.master_url = commands.local_master(self.plan)
        elif not self._standalone_up():
            return False
        if self.connect is None:
            self.connect = self._start_connect(self.master_url or "")
        return self._connect_up(self.connect)

    def ended(self, pid: int, code: int) -> None:
        """Take note that a process ended; :class:`ClusterFailed` says why when it was one of these."""
        daemon = self.running.pop(pid, None)
        if daemon is not None:
            raise ClusterFailed(f"the {daemon.name} ended {how(code)}: {cause(daemon.log, self.memory)}")

    def write_properties(self, name: str, properties: Mapping[str, str]) -> Path:
        """A properties file that only its owner reads."""
        path = self.site.scratch / f"{name}.properties"
        path.touch(mode=0o600)
        path.write_text(commands.properties_text(properties), encoding="utf-8")
        return path

    def _standalone_up(self) -> bool:
        if self._master is None:
            self._standalone_properties = self.write_properties("standalone", self._rpc_properties())
            self._master = self._start("master", commands.master_command(self.made_of, self.site, self._standalone_properties))
        if self.master_url is None:
            if not (found := self._master.said(_MASTER_UP)):
                return False
            self.master_url = found[1]
        if not self._workers:
            command = commands.worker_command(self.made_of, self.site, self._standalone_properties, self.plan, self.master_url)
            self._workers = [self._start(f"worker {number + 1}", command) for number in range(self.plan["workers"])]
        return all(worker.said(_WORKER_UP) for worker in self._workers)

    def _rpc_properties(self) -> dict[str, str]:
        names = ("spark.authenticate", "spark.authenticate.secret", "spark.master.rest.enabled", "spark.ui.killEnabled")
        return {name: self.conf[name] for name in names}

    def _start_connect(self, master: str) -> Daemon:
        properties = commands.connect_properties(self.conf, master)
        path = self.write_properties("connect", properties)
        command = commands.connect_command(self.made_of, self.site, path, self.memory, properties)
        return self._start("Spark Connect server", command, {**self.env, commands.TOKEN_VARIABLE: self.site.token})

    def _connect_up(self, connect: Daemon) -> bool:
        if not (found := connect.said(_CONNECT_UP)):
            return False
        self.port = int(found[1])
        if ui := connect.said(_UI_UP):
            self.ui_url = f"http://{commands.LOOPBACK}:{ui[1]}"
        return True

    def _start(self, name: str, command: list[str], env: Mapping[str, str] | None = None) -> Daemon:
        log = self.site.scratch / f"{name.replace(' ', '-').lower()}.log"
        daemon = Daemon(name, spawn(command, env=env or self.env, log=log, cwd=self.site.scratch), log)
        self.running[daemon.process.pid] = daemon
        return daemon


def tail(log: Path) -> str:
    """The end of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LAST))
            return file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def known_cause(log: Path, memory: str) -> str | None:
    """Why a JVM with this heap ended, in a user's words, where its log tells a known cause."""
    text = tail(log)
    return next((words.format(memory=memory) for pattern, words in _CAUSES if pattern.search(text)), None)


def cause(log: Path, memory: str) -> str:
    """Why a JVM with this heap ended: a known cause, or else the first line that looks like one."""
    if known := known_cause(log, memory):
        return known
    text = tail(log)
    telling = _TELLING.findall(text) or text.splitlines()
    return telling[0].strip()[:500] if telling else "it said nothing"


def how(code: int) -> str:
    """How a process ended."""
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"
