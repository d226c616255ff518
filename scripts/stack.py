"""A real Airflow and a real MLflow server on this machine, for the demo, the browser and the tests.

Everything listens on 127.0.0.1, stands in one folder and ends with the program that started it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import httpx
import psutil

from scripts import homes, processes
from scripts.api import Api

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
LOG_LINES = 40
_open = build_opener(ProxyHandler({})).open


class StackError(RuntimeError):
    """A component ended, or did not begin; the message ends with its log."""


class Stack:
    """Airflow with SQLite and LocalExecutor, its four components as processes of their own, and an MLflow server.

    ::

        with Stack(Path("/tmp/home")) as stack:
            run_id = stack.api.trigger("flight_delays")
            stack.api.wait_for_run("flight_delays", run_id)

    The connections ``spark_cluster_default`` (clusters on this machine) and ``mlflow_default`` are there.

    :param home: ``AIRFLOW_HOME``; made when it is missing, taken up where it stopped when not.
    :param dags: a folder of DAG files to serve beside the ready-made ones.
    :param settings: Airflow's settings, ``section.key`` to value.
    :param connections: more connections: id to the fields of Airflow's REST API.
    :param env: environment variables of every component.
    :param mlflow: whether an MLflow server runs.
    :param ports: the ports to take when they are free, by ``airflow`` and ``mlflow``.
    """

    def __init__(
        self,
        home: Path,
        *,
        dags: Path | None = None,
        settings: Mapping[str, str] | None = None,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        env: Mapping[str, str] | None = None,
        mlflow: bool = True,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        self.home = home.resolve()
        self.ports = {name: processes.free_port((ports or {}).get(name, 0)) for name in ("airflow", "mlflow")}
        self.url = f"http://127.0.0.1:{self.ports['airflow']}"
        self.mlflow_url = f"http://127.0.0.1:{self.ports['mlflow']}"
        self.user, self.password = homes.USER, ""
        self.env = _environment(self.home, env or {})
        self._dags, self._settings, self._mlflow = dags, dict(settings or {}), mlflow
        self._connections = {**_connections(self.mlflow_url if mlflow else None), **(connections or {})}
        self._pids: dict[str, subprocess.Popen[bytes]] = {}
        self._api: Api | None = None
        self._lock: IO[str] | None = None

    @property
    def api(self) -> Api:
        """Airflow's REST API, as its one user."""
        if self._api is None:
            self._api = Api(self.url, self.user, self.password)
        return self._api

    @property
    def components(self) -> tuple[str, ...]:
        """The names that :meth:`kill`, :meth:`restart` and :meth:`log` take."""
        return (*COMPONENTS, "mlflow") if self._mlflow else COMPONENTS

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _tb: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start every component and wait until Airflow takes requests and its connections are there."""
        for folder in (self.home, self.home / "dags", self.home / "run"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take()
        self.password = homes.write_config(self.home, self.url, self._dags, self._settings)
        homes.lay_databases(self.home, self.env, mlflow=self._mlflow)
        for name in self.components:
            self.spawn(name)
        self.wait_ready()
        for conn_id, fields in self._connections.items():
            self.api.put_connection(conn_id, fields)

    def wait_ready(self, timeout: float = 120) -> None:
        """Wait until the web servers answer; :class:`StackError` when a component has ended."""
        urls = [f"{self.url}/api/v2/version", *([f"{self.mlflow_url}/health"] if self._mlflow else [])]
        for url in urls:
            processes.wait_until(url, partial(self._serves, url), timeout)

    def wait_healthy(self, timeout: float = 120) -> None:
        """Wait until scheduler, DAG processor and triggerer have reported to the database."""
        processes.wait_until("Airflow", lambda: self._alive() and set(self.api.health().values()) == {"healthy"}, timeout)

    def spawn(self, name: str) -> None:
        """Start one component."""
        self._pids[name] = processes.spawn(self._command(name), self.env, self.log_path(name), self.home / "run")

    def kill(self, name: str, what: signal.Signals = signal.SIGKILL) -> None:
        """Kill one component and everything below it, and wait until they are gone."""
        started = self._pids.pop(name)
        found = processes.tree(started.pid)
        for process in found:
            process.send_signal(what)
        psutil.wait_procs(found, timeout=30)
        started.wait(timeout=10)

    def restart(self, name: str) -> None:
        """Kill one component, if it runs, and start it again."""
        if name in self._pids:
            self.kill(name)
        self.spawn(name)
        if name in ("api-server", "mlflow"):
            self.wait_ready()

    def pid(self, name: str) -> int:
        """The process id of one component."""
        return int(self._pids[name].pid)

    def log_path(self, name: str) -> Path:
        """The file that one component writes to."""
        return self.home / "run" / f"{name}.log"

    def log(self, name: str) -> str:
        """What one component has written."""
        path = self.log_path(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def processes(self) -> list[psutil.Process]:
        """Every process that belongs to this stack: components, tasks, clusters and what they left."""
        return processes.of_home(self.home)

    def stop(self) -> None:
        """End the clusters, then every process of this stack. Safe to repeat."""
        if self._lock is None:
            return
        if self._api:
            self._api.close()
            self._api = None
        components = [process for started in self._pids.values() for process in processes.tree(started.pid)]
        self._terminate_clusters()
        processes.end(components, patience=5)
        processes.end(self.processes(), patience=5)
        while self._pids:
            self._pids.popitem()[1].wait(timeout=10)
        self._lock.close()
        self._lock = None

    def _take(self) -> None:
        """Hold the folder until this program ends, and end what another left there when it was killed."""
        if self._lock is not None:
            return
        lock = (self.home / "run" / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise StackError(f"another program runs an Airflow in {self.home}: end it first") from None
        self._lock = lock
        processes.end(self.processes(), patience=5)

    def _terminate_clusters(self) -> None:
        root = self.home / "spark"
        if root.is_dir():
            from airflow_ml_provider.backends.local.backend import LocalBackend

            backend = LocalBackend(root=root)
            for cluster in backend.owned():
                backend.terminate(cluster.id)

    def _serves(self, url: str) -> bool:
        return self._alive() and _answers(url)

    def _alive(self) -> bool:
        self.check()
        return True

    def check(self) -> None:
        """:class:`StackError` when a component has ended."""
        for name, process in self._pids.items():
            if process.poll() is not None:
                tail = "\n".join(self.log(name).splitlines()[-LOG_LINES:])
                raise StackError(f"{name} ended with {process.returncode}:\n{tail}")

    def _command(self, name: str) -> Sequence[str]:
        airflow = [sys.executable, "-m", "airflow", name]
        if name == "mlflow":
            return self._mlflow_command()
        if name == "api-server":
            return [*airflow, "--host", "127.0.0.1", "--port", str(self.ports["airflow"]), "--workers", "1"]
        return airflow if name == "dag-processor" else [*airflow, "--skip-serve-logs"]

    def _mlflow_command(self) -> Sequence[str]:
        store = ["--backend-store-uri", f"sqlite:///{self.home / 'mlflow.db'}"]
        artifacts = ["--artifacts-destination", str(self.home / "mlartifacts")]
        where = ["--host", "127.0.0.1", "--port", str(self.ports["mlflow"]), "--workers", "1"]
        return [sys.executable, "-m", "mlflow", "server", *store, *artifacts, *where]


def _environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of the components: none of the caller's settings of Airflow, MLflow or Spark."""
    prefixes = ("AIRFLOW_", "MLFLOW_", "SPARK_", "PYSPARK_", "_AIRFLOW", "_MLFLOW")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    loopback = ",".join(filter(None, (kept.get("NO_PROXY"), "127.0.0.1,localhost")))
    own = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__AIRFLOW_ML_PROVIDER__CALLBACKS": "True",
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", ""))),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": loopback,
        "no_proxy": loopback,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return {**kept, **own, **more}


def _connections(mlflow_url: str | None) -> dict[str, dict[str, Any]]:
    # Port 0 is what Airflow's page saves and sends for no port: its Test button refuses where the two differ.
    spark = {"conn_type": "spark_cluster", "port": 0, "extra": '{"backend": "local"}'}
    mlflow = {"conn_type": "mlflow", "port": 0, "host": mlflow_url}
    return {"spark_cluster_default": spark, **({"mlflow_default": mlflow} if mlflow_url else {})}


def _answers(url: str) -> bool:
    try:
        with _open(url, timeout=5) as response:
            return int(response.status) == httpx.codes.OK
    except (URLError, OSError):
        return False
