"""A program beside its task, as a client of the Spark Connect session of a cluster elsewhere: it begins in a second or two.

The program lives and dies with its task, which alone has what opens the session. Another try of the task ends first what an
earlier one may have left at the server, then runs the program anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ml_provider.backends.local.commands import inherited_environment
from airflow_ml_provider.backends.local.libraries import python_with
from airflow_ml_provider.core import caches
from airflow_ml_provider.core.backend import Endpoint, ServesConnect
from airflow_ml_provider.core.errors import ConfigurationError, JobFailed, ServiceError, SpecError, WaitTimeout
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.libraries import Jar, Maven
from airflow_ml_provider.core.lowering import lowered
from airflow_ml_provider.core.results import wrong_result
from airflow_ml_provider.core.spec import JobSpec, PythonCode, PythonFile, Spec
from airflow_ml_provider.operators.base import insist
from airflow_ml_provider.operators.waiting import Killed
from airflow_ml_provider.runners import run_beside, run_python

if TYPE_CHECKING:
    from airflow_ml_provider.hooks.connect import Door

_STARTS_WITHIN = 900.0
_PAUSE = 2.0
_LOOK = 0.2
_GRACE = 3.0
_CHUNK = 1 << 16
_KINDS: frozenset[type[Spec]] = frozenset({PythonFile, PythonCode})


def checked(spec: JobSpec) -> JobSpec:
    """The job with a Python file as its program; :class:`SpecError` for what takes a driver of its own."""
    made = lowered(spec, _KINDS)
    problems = [
        f'JobSpec.spark_conf: got {key!r}: a warm job takes properties of a session ("spark.sql.…"): leave out warm'
        for key in made.spark_conf
        if not key.startswith("spark.sql.")
    ]
    if made.program.api == "classic":  # type: ignore[union-attr]
        problems.append(f"JobSpec.program: got one of kind {spec.program.kind!r} that takes a driver of its own: leave out warm")
    if any(isinstance(item, Maven) for item in made.libraries):
        problems.append("JobSpec.libraries: got a Maven library: put it in the cluster's, or leave out warm")
    if unknown := sorted(set(made.native) - {"python"}):
        problems.append(f"JobSpec.native: got {unknown[0]!r}: a warm job takes python, the path of an interpreter")
    if problems:
        raise SpecError(*problems)
    return made


def session_id(token: str, attempt: int) -> str:
    """The id of a program's session: another one for each attempt at a piece of work."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{token}-{attempt}".encode()).digest()[:16], version=4))


@dataclass(frozen=True)
class Warm:
    """The warm jobs of a task.

    :param cluster: it is ready.
    :param cache: where interpreters with libraries are kept.
    :param interval: seconds between looks at a session that starts.
    """

    backend: ServesConnect
    cluster: Handle
    cache: Path
    killed: Killed
    interval: float
    log: Any

    def check(self, spec: JobSpec) -> None:
        """Raise :class:`SpecError` for a job that cannot be warm."""
        checked(spec)

    def run(self, spec: JobSpec, secrets: Mapping[str, str], *, token: str, attempt: int) -> Any:
        """The JSON value that the program hands back.

        :param attempt: how many at the same work came before.
        :raises JobFailed: the program failed, or was killed.
        """
        spec = checked(spec)
        with self._door() as (door, spark_version):
            for earlier in range(attempt):
                door.end_session(session_id(token, earlier))
            session = session_id(token, attempt)
            python = self._python(spec, spark_version)
            try:
                with tempfile.TemporaryDirectory(prefix="warm-") as scratch:
                    remote = {"SPARK_REMOTE": door.url(session)}
                    return Program(spec, Path(scratch), self.killed, self.log).run(python, {**secrets, **remote})
            finally:
                door.end_session(session)

    @contextmanager
    def _door(self) -> Iterator[tuple[Door, str | None]]:
        try:
            from airflow_ml_provider.hooks.connect import Door
        except ImportError as error:
            raise ConfigurationError(f'warm: {error}: pip install "airflow-ml-provider[local]" on the workers') from error
        endpoint = self._ready()
        with Door(endpoint, lambda: self._again(endpoint)) as door:
            yield door, endpoint.spark_version

    def _ready(self) -> Endpoint:
        """Where the session is reached, once it is there."""
        end = time.monotonic() + _STARTS_WITHIN
        found = self._look()
        if not found:
            self.log.info("Waiting for the Spark Connect session of %s", self.cluster)
        while not found:
            if self.killed.now:
                raise JobFailed(f"The task was killed while it waited for the Spark Connect session of {self.cluster}")
            if time.monotonic() > end:
                raise WaitTimeout(f"The Spark Connect session of {self.cluster} was not ready within {_STARTS_WITHIN:.0f} s")
            time.sleep(min(self.interval, _PAUSE))
            found = self._look()
        return found

    def _look(self) -> Endpoint | None:
        return insist(partial(self.backend.connect, self.cluster.cluster), log=self.log)

    def _again(self, known: Endpoint) -> Endpoint:
        found = self.backend.connect(self.cluster.cluster)
        if not found or found.target != known.target:
            raise ServiceError(f"the Spark Connect session of {self.cluster} has ended")
        return found

    def _python(self, spec: JobSpec, spark_version: str | None) -> str:
        """An interpreter with the cluster's PySpark and the job's libraries; another one speaks another Spark Connect."""
        base = spec.native.get("python", sys.executable)
        client = client_library(spark_version) if base == sys.executable else []
        asked = [*client, *(item.model_dump(mode="json") for item in spec.libraries)]
        with caches.translated_errors(self.cache):
            caches.sweep_at_times(self.cache)
            return insist(partial(python_with, self.cache, base, asked), log=self.log)


def client_library(spark_version: str | None) -> list[dict[str, Any]]:
    """The PySpark that a program needs in the place of the worker's own; nothing when that is of the same Spark, or none is known."""
    if spark_version is None:
        return []
    minor = ".".join(spark_version.split(".")[:2])
    with suppress(PackageNotFoundError):
        if version("pyspark").startswith(f"{minor}."):
            return []
    # Before Spark 4 there is no client without the server's jars.
    name = "pyspark[connect]" if minor.startswith("3.") else "pyspark-client"
    return [{"kind": "pypi", "requirement": f"{name}=={minor}.*", "index_url": None}]


@dataclass(frozen=True)
class Program:
    """One program's process.

    :param scratch: an empty folder.
    """

    spec: JobSpec
    scratch: Path
    killed: Killed
    log: Any

    def run(self, python: str, secrets: Mapping[str, str]) -> Any:
        """What it hands back; :class:`JobFailed` when it fails, is killed or takes too long. Nothing of it is left."""
        process = self._start(python, secrets)
        try:
            ended = self._follow(process)
        finally:
            _end(process)
        message = ended or self._error(process.wait()) or wrong_result(self._result)
        if message:
            raise JobFailed(f"Warm job {self.spec.name} is FAILED: {message}")
        return json.loads(self._result.read_bytes()) if self._result.exists() else None

    @property
    def _result(self) -> Path:
        return self.scratch / "result.json"

    def _start(self, python: str, secrets: Mapping[str, str]) -> subprocess.Popen[bytes]:
        program = self.spec.program
        assert isinstance(program, (PythonFile, PythonCode))
        path = Path(program.path) if isinstance(program, PythonFile) else self.scratch / "program.py"
        if isinstance(program, PythonCode):
            path.write_text(program.source, encoding="utf-8")
        work = self.scratch / "work"
        work.mkdir()
        for file in self.spec.files:
            shutil.copy2(file, work)
        command = [python, run_beside.__file__, str(path), *program.args]
        return subprocess.Popen(
            command,
            env=self._environment(secrets),
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _environment(self, secrets: Mapping[str, str]) -> dict[str, str]:
        jars = [item.path for item in self.spec.libraries if isinstance(item, Jar)]
        return {
            **inherited_environment(os.environ),
            "PYTHONUNBUFFERED": "1",
            **self.spec.env,
            **secrets,
            run_beside.PARENT_VARIABLE: str(os.getpid()),
            JobSpec.RESULT_VARIABLE: str(self._result),
            run_python.ERROR_VARIABLE: str(self.scratch / "error.json"),
            run_python.SESSION_CONF_VARIABLE: json.dumps(dict(self.spec.spark_conf)),
            run_python.JARS_VARIABLE: json.dumps(jars),
        }

    def _follow(self, process: subprocess.Popen[bytes]) -> str:
        """Copy what it prints into the task's log until it ends; why it must end before that."""
        limit = self.spec.timeout
        end = time.monotonic() + limit.total_seconds() if limit else None
        with selectors.DefaultSelector() as selector:
            assert process.stdout
            selector.register(process.stdout, selectors.EVENT_READ)
            rest = b""
            while True:
                over = process.poll() is not None
                ready = selector.select(0 if over else _LOOK)
                chunk = os.read(process.stdout.fileno(), _CHUNK) if ready else b""
                if ready and not chunk and not over:
                    time.sleep(_LOOK)  # it has closed its output, which is ready for ever now
                *lines, rest = (rest + chunk).split(b"\n")
                for line in [*lines, rest] if over and not chunk and rest else lines:
                    self.log.info("%s", line.decode(errors="replace"))
                if over and not chunk:
                    return ""
                if self.killed.now:
                    return "the task was killed"
                if end and time.monotonic() > end:
                    return f"the timeout of {limit} has passed"

    def _error(self, code: int) -> str:
        if not code:
            return ""
        noted = self.scratch / "error.json"
        if noted.exists():
            return str(json.loads(noted.read_bytes())["message"])
        return f"the program ended with {'signal ' + str(-code) if code < 0 else 'exit code ' + str(code)}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE if number == signal.SIGTERM else None)
    if process.stdout:
        process.stdout.close()
