"""One job while it runs: how it is started, ended, and what became of it."""

from __future__ import annotations

import json
import shutil
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from airflow_ml_provider.backends.local import commands, with_libraries
from airflow_ml_provider.backends.local.daemons import Daemons, how, known_cause
from airflow_ml_provider.backends.local.forking import Forking
from airflow_ml_provider.backends.local.layout import JobFolder, read_json, read_known, write_json
from airflow_ml_provider.backends.local.processes import JOB_MARK, end_all, of_job, spawn
from airflow_ml_provider.core.backend import Plan
from airflow_ml_provider.core.results import wrong_result
from airflow_ml_provider.core.spec import JobSpec
from airflow_ml_provider.core.state import JobState
from airflow_ml_provider.runners import run_python

CANCEL_GRACE = 3.0
_READ_AT_START = (
    *("PYTHON", "LD_", "OMP_", "MKL_", "OPENBLAS_", "ARROW_", "MALLOC_", "GLIBC_"),
    *("MPL", "MLFLOW_CONFIGURE_", "MLFLOW_LOGGING_"),
)


def now() -> str:
    """This moment, as statuses record it."""
    return datetime.now(tz=UTC).isoformat()


@dataclass
class Job:
    """A job that the supervisor has taken up.

    :param memory: the heap of the cluster's drivers.
    :param root: process id of its first process, once known.
    :param verdict: the state and the reason that ending it by force will leave.
    :param properties: of Spark, of a classic program.
    """

    id: str
    folder: JobFolder
    plan: Plan
    began: float = field(default_factory=time.monotonic)
    started_at: str = field(default_factory=now)
    session: str = field(default_factory=lambda: str(uuid.uuid4()))
    ui_url: str | None = None
    memory: str = ""
    root: int | None = None
    verdict: tuple[JobState, str] | None = None
    properties: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def take_up(cls, job: str, folder: JobFolder, ui_url: str | None) -> Job:
        """Read a job's plan and make its scratch folder.

        :param ui_url: of the Spark Connect server.
        """
        shutil.rmtree(folder.scratch, ignore_errors=True)
        folder.scratch.mkdir(mode=0o700)
        found = cls(job, folder, read_json(folder.plan) or {})
        if ui_url and not found.classic:
            found.ui_url = f"{ui_url}/connect/session/?id={found.session}"
        found.record(JobState.RUNNING)
        return found

    @property
    def classic(self) -> bool:
        return bool(self.plan["program"]["api"] == "classic")

    @property
    def overdue(self) -> bool:
        return self.plan["timeout"] is not None and time.monotonic() - self.began > self.plan["timeout"]

    def start(self, daemons: Daemons, forking: Forking, base: Mapping[str, str], cache: Path) -> None:
        """Start it: forked from the warm parent where it may be, else a process of its own; classic with a JVM of its own.

        :param cache: where libraries are kept.
        """
        self.memory = daemons.memory
        env = self._environment(base, daemons)
        for file in self.plan["files"]:
            shutil.copy2(file, self.folder.scratch)
        program, args = self._program(), list(self.plan["program"]["args"])
        if not self.classic and self._may_be_forked(env, base):
            where = {"cwd": str(self.folder.scratch), "log": str(self.folder.log)}
            forking.ask(id=self.id, program=str(program), args=args, env=env, **where)
            return
        python = self.plan["python"] or base["PYSPARK_PYTHON"]
        properties = self._write_properties(daemons) if self.classic else None
        runner = [run_python.__file__, str(program), *args]
        classic = self._classic(daemons, properties, runner) if properties else None
        env |= {"PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python}
        if self.plan["libraries"]:
            command = self._installing(daemons, classic or [None, *runner], properties, cache)
        else:
            command = classic or [python, *runner]
        self.root = self._spawn(command, env)

    def finish(self, code: int) -> None:
        """Record what became of it, from its exit code; its secrets are gone before anyone is told that it ended."""
        state, message = self.verdict or self._outcome(code)
        self.folder.secrets.unlink(missing_ok=True)
        self.record(state, message)
        shutil.rmtree(self.folder.scratch, ignore_errors=True)

    def end_tree(self, *, grace: float = 0.0) -> bool:
        """Kill every process of it; True when none is left."""
        return self.root is None or end_all(partial(of_job, self.id, self.root), grace=grace)

    def record(self, state: JobState, message: str = "") -> None:
        """Write its status."""
        ended = {"ended_at": now()} if state.ended else {}
        fixed = {"started_at": self.started_at, "ui_url": self.ui_url}
        write_json(self.folder.status, {"state": state, "message": message, **fixed, **ended})

    def _outcome(self, code: int) -> tuple[JobState, str]:
        if code:
            memory = self.plan["spark_conf"].get("spark.driver.memory", self.memory)
            if self.classic and (known := known_cause(self.folder.log, memory)):
                return JobState.FAILED, f"the program ended {how(code)}: {known}"
            noted = read_known(self.folder.error).get("message")  # the program writes it, and may be killed meanwhile
            killed = " (a signal 9 that nobody sent is the kernel's when memory runs out)" if code == -9 else ""
            return JobState.FAILED, str(noted) if noted else f"the program ended {how(code)}{killed}"
        problem = wrong_result(self.folder.result)
        return (JobState.FAILED, problem) if problem else (JobState.SUCCEEDED, "")

    def _program(self) -> Path:
        program = self.plan["program"]
        if program["kind"] == "python_file":
            return Path(program["path"])
        path = self.folder.path / "program.py"
        path.write_text(program["source"], encoding="utf-8")
        return path

    def _environment(self, base: Mapping[str, str], daemons: Daemons) -> dict[str, str]:
        conf = {} if self.classic else self.plan["spark_conf"]
        env = {
            **base,
            **self.plan["env"],
            **(read_json(self.folder.secrets) or {}),
            JOB_MARK: self.id,
            JobSpec.RESULT_VARIABLE: str(self.folder.result),
            run_python.ERROR_VARIABLE: str(self.folder.error),
            **({run_python.SESSION_CONF_VARIABLE: json.dumps(conf)} if conf else {}),
        }
        return env if self.classic else commands.connect_environment(env, daemons.site, daemons.port or 0, self.session)

    def _may_be_forked(self, env: Mapping[str, str], base: Mapping[str, str]) -> bool:
        """False when it asks for another interpreter, or for variables that only a new one reads."""
        differing = {key for key in env if env[key] != base.get(key)}
        other = self.plan["python"] not in (None, sys.executable) or base["PYSPARK_PYTHON"] != sys.executable
        return not other and not self.plan["libraries"] and not any(key.startswith(_READ_AT_START) for key in differing)

    def _write_properties(self, daemons: Daemons) -> Path:
        self.properties = commands.classic_properties(daemons.conf, daemons.master_url or "", self.plan)
        return daemons.write_properties(self.id, self.properties)

    def _classic(self, daemons: Daemons, path: Path, runner: list[str]) -> list[str]:
        memory = self.plan["spark_conf"].get("spark.driver.memory", daemons.memory)
        return commands.classic_command(daemons.made_of, daemons.site, path, memory, self.properties, runner)

    def _installing(self, daemons: Daemons, command: Sequence[str | None], properties: Path | None, cache: Path) -> list[str]:
        """The same command once the job's libraries are there.

        :param command: its program is None for the interpreter that has them.
        """
        request = self.folder.path / "libraries.json"
        document = {
            "cache": str(cache),
            "python": daemons.base_python,
            "java": str(daemons.made_of.java),
            "spark_home": str(daemons.made_of.spark_home),
            "of_cluster": daemons.plan["libraries"],
            "libraries": self.plan["libraries"],
            "command": list(command),
            "properties": str(properties) if properties else None,
            "jars": self.properties.get("spark.jars", ""),
        }
        write_json(request, document)
        return [sys.executable, "-m", with_libraries.__name__, str(request)]

    def _spawn(self, command: list[str], env: Mapping[str, str]) -> int:
        return spawn(command, env=env, log=self.folder.log, cwd=self.folder.scratch).pid
