"""The process that owns a cluster: it starts the daemons and the jobs, enforces the limits, and ends everything.

``python -m airflow_ml_provider.backends.local.supervisor FOLDER`` returns as soon as the supervisor holds the cluster's lock. Two
processes remain: the supervisor, and a guard above it that inherits every orphan and so can end what a killed supervisor leaves.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import selectors
import shutil
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from psutil import Process

from airflow_ml_provider.backends.local import commands
from airflow_ml_provider.backends.local.archive import Archive
from airflow_ml_provider.backends.local.commands import Installation, Site
from airflow_ml_provider.backends.local.connectors import class_path
from airflow_ml_provider.backends.local.daemons import Daemons, cause, tail
from airflow_ml_provider.backends.local.folders import CONFIG, Folders, Names
from airflow_ml_provider.backends.local.forking import Forking
from airflow_ml_provider.backends.local.java import find_jdk, with_shim
from airflow_ml_provider.backends.local.jobs import CANCEL_GRACE, Job, now
from airflow_ml_provider.backends.local.layout import ClusterFolder, JobFolder, make_folder, read_json, read_known, write_json
from airflow_ml_provider.backends.local.libraries import jars_of, joined, python_with
from airflow_ml_provider.backends.local.private import write_private
from airflow_ml_provider.backends.local.processes import adopt_orphans, descendants, die_with_parent, end_all, machine_mib, reap
from airflow_ml_provider.backends.local.translate import job_state
from airflow_ml_provider.core.errors import ClusterFailed, ConfigurationError, ProviderError
from airflow_ml_provider.core.state import ClusterState, JobState
from airflow_ml_provider.core.tools import patiently

_STARTING_TICK = 0.05
_TICK = 1.0
_START_LIMIT = 300.0
_STOP_GRACE = 5.0
_RECORD_GRACE = 90.0
_FULL = 1 << 20
_MAKE_ROOM = "make room, or give the connection another staging_uri"


class Ending(Exception):
    """The cluster ends now, for a reason that is no fault."""


class Supervisor:
    """One cluster from its first process to its last."""

    def __init__(self, folder: ClusterFolder, cache: Path) -> None:
        self.folder = folder
        self.cache = cache
        self.plan = read_json(folder.plan) or {}
        self.born = time.monotonic()
        self.busy = self.born
        self.ready = False
        self.folders = Folders(folder)
        self.jobs: dict[str, Job] = {}
        self.ending: list[tuple[Job, int, Names]] = []
        self.seen: set[str] = set()
        self.record: Path | None = None

    def run(self) -> None:
        """Supervise until the end, and leave nothing behind."""
        state, message = ClusterState.TERMINATED, ""
        try:
            self._prepare()
            self._loop()
        except Ending as ending:
            message = str(ending)
        except ProviderError as error:
            state, message = ClusterState.FAILED, str(error)
        except OSError as error:
            state, message = ClusterState.FAILED, f"{error.strerror}: {error.filename or self.folder.path}{_fix(error)}"
            _print_traceback()
        except Exception as error:  # noqa: BLE001 - whatever it is, everything must end
            state, message = ClusterState.FAILED, f"the supervisor failed: {error!r}"
            _print_traceback()
        self._end(state, message)

    def _prepare(self) -> None:
        scratch = self.folder.scratch
        for name in ("tmp", "local", "work"):
            make_folder(scratch / name)
        given = read_json(self.folder.secrets) or {}
        config = given.pop(CONFIG, "")
        made_of, classes = self._installation()
        tokens = {"token": secrets.token_urlsafe(32), "rpc_secret": secrets.token_urlsafe(32)}
        self.site = Site(scratch, **tokens, classes=(*classes, *write_private(scratch, given)))
        self.site.logging.write_text(commands.LOGGING, encoding="utf-8")
        base = self.plan["python"] or sys.executable
        python = patiently(lambda: python_with(self.cache, base, self.plan["libraries"]), check=self._end_if_asked)
        self.env = commands.cluster_environment(self.plan, dict(os.environ), made_of, self.site, python)
        memory = commands.driver_memory(self.plan, machine_mib())
        self.folders = Folders(self.folder, self.plan.get("folders", ()), config, self.env)
        self.env |= self.folders.start()
        conf = commands.common_properties(self.plan, self.site, given)
        of_plan = (made_of.java, made_of.spark_home, self.plan["libraries"])
        if jars := patiently(lambda: jars_of(self.cache, *of_plan), check=self._end_if_asked):
            conf["spark.jars"] = joined(conf.get("spark.jars", ""), *jars)
        self.daemons = Daemons(self.plan, made_of, self.site, self.env, memory, conf, base)
        self._new_forking()

    def _installation(self) -> tuple[Installation, list[Path]]:
        """What the processes are started from, and the jars that mounts need."""
        home = spark_home()
        jdk = with_shim(find_jdk({**os.environ, **self.plan["env"]}), make_folder(self.cache))
        classes = patiently(lambda: class_path(self.cache, home, jdk.java, self.plan["connectors"]), check=self._end_if_asked)
        self.archive = Archive(self.cache, jdk, home, classes)
        readable = self.archive.readable()
        if self.archive.claim():
            self.record = self.folder.scratch / "classes.jsa"
        return Installation(jdk.java, home, readable, self.record), classes

    def _new_forking(self) -> None:
        log = self.folder.scratch / "warm-parent.log"
        self.forking = Forking(env=self.env, log=log, cwd=self.folder.scratch)

    def _loop(self) -> None:
        woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._asked_by_signal)
        nudge = self.folder.open_nudge()
        with selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ, lambda: _drain(woken))
            selector.register(nudge, selectors.EVENT_READ, lambda: _drain(nudge))
            while True:
                self._turn(selector)

    def _turn(self, selector: selectors.BaseSelector) -> None:
        channel = self.forking
        selector.register(channel, selectors.EVENT_READ, self._hear)
        for key, _ in selector.select(_TICK if self.ready and not self.ending else _STARTING_TICK):
            key.data()
        selector.unregister(channel)
        self._note_ends(reap())
        self._end_if_asked()
        if self.ready:
            self._look_for_jobs()
            self._finish_jobs()
        else:
            self._start_up()
        self._enforce_limits()

    def _end_if_asked(self) -> None:
        if self.folder.terminate.exists():
            raise Ending("terminated on request")

    def _asked_by_signal(self, *_: Any) -> None:
        self.folder.terminate.touch()

    def _start_up(self) -> None:
        if time.monotonic() - self.born > _START_LIMIT:
            log = self.daemons.connect.log if self.daemons.connect else self.folder.log
            raise ClusterFailed(f"it did not start in {_START_LIMIT:g} s: {cause(log, self.daemons.memory)}")
        if self.daemons.advance() and self.forking.ready and self.folders.ready() and "warm-up" not in self.seen:
            self.seen.add("warm-up")
            self._ask_task("warm-up", "warm_up", str(uuid.uuid4()))

    def _become_ready(self, code: int) -> None:
        if code:
            log = tail(self.folder.scratch / "warm-up.log").strip().splitlines()
            raise ClusterFailed(f"the first query failed: {log[-1] if log else tail(self.folder.log)[-500:]}")
        self.ready = True
        self.busy = time.monotonic()
        url = f"sc://localhost:{self.daemons.port}"
        self._record(ClusterState.RUNNING, connect_url=url, ui_url=self.daemons.ui_url, started_at=now())
        self._look_for_jobs()
        self.forking.ask(preload=True)

    def _ask_task(self, name: str, task: str, session: str) -> None:
        env = commands.connect_environment(self.env, self.site, self.daemons.port or 0, session)
        log = self.folder.scratch / f"{task.replace('_', '-')}.log"
        self.forking.ask(id=name, task=task, env=env, cwd=str(self.folder.scratch), log=str(log))

    def _hear(self) -> None:
        for answer in self.forking.answers():
            name = answer.get("id", "")
            if "pid" in answer and name in self.jobs:
                self.jobs[name].root = answer["pid"]
            elif "exit" in answer and name == "warm-up":
                self._become_ready(answer["exit"])
            elif "exit" in answer and name in self.jobs:
                self._job_ended(self.jobs[name], answer["exit"])

    def _note_ends(self, ended: dict[int, int]) -> None:
        for pid, code in ended.items():
            self.daemons.ended(pid, code)
            self.folders.ended(pid, code)
            if pid == self.forking.process.pid:
                self._warm_parent_ended(code)
            for job in [job for job in self.jobs.values() if job.root == pid]:
                self._job_ended(job, code)

    def _warm_parent_ended(self, code: int) -> None:
        """It takes its jobs with it. Another one serves the next jobs."""
        if not self.ready:
            said = tail(self.folder.scratch / "warm-parent.log").strip().splitlines()
            raise ClusterFailed(f"PySpark could not be imported: {said[-1] if said else f'exit code {code}'}")
        self.forking.close()
        for job in [job for job in self.jobs.values() if not job.classic]:
            job.verdict = job.verdict or (JobState.FAILED, "the process that it was forked from was killed")
            self._job_ended(job, -signal.SIGKILL)
        self._new_forking()

    def _look_for_jobs(self) -> None:
        for job, folder in self.folder.job_folders():
            if job not in self.seen:
                self.seen.add(job)
                self._take_up(job, folder)
        for running in list(self.jobs.values()):
            if running.folder.cancel.exists():
                self._stop_job(running, JobState.CANCELLED, "cancelled on request")
            elif running.overdue:
                self._stop_job(running, JobState.FAILED, f"the timeout of {running.plan['timeout']:g} s has passed")

    def _take_up(self, job: str, folder: JobFolder) -> None:
        try:
            taken = Job.take_up(job, folder, self.daemons.ui_url)
        except ValueError as error:
            message = f"it could not be started: {error}"
            write_json(folder.status, {"state": JobState.FAILED, "message": message, "ended_at": now()})
            return
        self.jobs[job] = taken
        self.folders.refresh()
        try:
            taken.start(self.daemons, self.forking, self.env, self.cache)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one job, the others go on
            taken.verdict = (JobState.FAILED, f"it could not be started: {error}")
            self._job_ended(taken, 1)

    def _stop_job(self, job: Job, state: JobState, message: str) -> None:
        if job.root is None and not job.classic:
            return  # the warm parent is about to tell its process id
        job.verdict = (state, message)
        job.end_tree(grace=CANCEL_GRACE)
        self._job_ended(job, -signal.SIGKILL)

    def _job_ended(self, job: Job, code: int) -> None:
        if self.jobs.pop(job.id, None) is None:
            return
        job.end_tree()
        if code and not job.classic:
            self._ask_task(f"interrupt-{job.id}", "interrupt", job.session)
        self.ending.append((job, code, self.folders.unwritten()))
        self._finish_jobs()

    def _finish_jobs(self) -> None:
        """A job is over once what it wrote into folders is in the stores, or is refused by them."""
        for item in list(self.ending):
            job, code, files = item
            left = files & self.folders.unwritten() if files else files
            refused = self.folders.refused(left) if left else {}
            if not left - refused.keys():
                if refused:
                    job.verdict = job.verdict or (JobState.FAILED, next(iter(refused.values())))
                self.ending.remove(item)
                job.finish(code)
                self.busy = time.monotonic()

    def _enforce_limits(self) -> None:
        if self.jobs or self.ending or not self.ready:
            self.busy = time.monotonic()
        for limit, since in (("idle_timeout", self.busy), ("max_lifetime", self.born)):
            seconds = self.plan[limit]
            if seconds is not None and time.monotonic() - since > seconds:
                raise Ending(f"{limit} of {seconds:g} s has passed")

    def _record(self, state: ClusterState, message: str = "", **more: Any) -> None:
        known = read_known(self.folder.status)
        write_json(self.folder.status, {**known, "state": state, "message": message, **more})

    def _end(self, state: ClusterState, message: str) -> None:
        """End every process, then every job, then say so."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if state is ClusterState.FAILED and shutil.disk_usage(self.folder.path).free < _FULL:
            message = f"the disk of {self.folder.path} is full: {_MAKE_ROOM} ({message})"
        _try(lambda: self._record(ClusterState.TERMINATING, message))
        recording = self.record is not None and self.ready and state is ClusterState.TERMINATED
        if recording:
            self._stop_recorder()
        end_all(self._all_but_folders, grace=0.0 if recording or not self.ready else _STOP_GRACE)
        _try(self.folders.end)
        _try(self._finish_jobs)
        end_all(descendants)
        close(self.folder, state, message)

    def _all_but_folders(self) -> list[Process]:
        """What is ended first: it may have something to write."""
        mine = self.folders.pids
        return [process for process in descendants() if process.pid not in mine]

    def _stop_recorder(self) -> None:
        """The first cluster's server writes the archive while it ends; nothing else may hold it up."""
        server = self.daemons.connect
        if server is None or self.record is None:
            return
        pid = server.process.pid
        end_all(lambda: [process for process in self._all_but_folders() if process.pid != pid])
        end_all(
            lambda: [process for process in descendants() if process.pid == pid], grace=_RECORD_GRACE, limit=2 * _RECORD_GRACE
        )
        self.archive.keep(self.record)


def close(folder: ClusterFolder, state: ClusterState, message: str) -> None:
    """Write what became of an ended cluster and of the jobs that it did not finish, and remove the rest."""
    interrupted = JobState.FAILED if state is ClusterState.FAILED else JobState.CANCELLED
    message = "; ".join(filter(None, [message, *folder.clear()]))
    for _, job in folder.job_folders():
        found = read_known(job.status)
        if not job_state(str(found.get("state"))).ended:
            write_json(job.status, {**found, "state": interrupted, "message": f"the cluster ended: {message}", "ended_at": now()})
    known = read_known(folder.status)
    write_json(folder.status, {**known, "state": state, "message": message})


def spark_home() -> Path:
    """PySpark's folder; :class:`ConfigurationError` when it has no Spark in it."""
    found = find_spec("pyspark")
    for folder in found.submodule_search_locations or () if found else ():
        if (Path(folder) / "jars").is_dir():
            return Path(folder)
    raise ConfigurationError('PySpark is not installed with Spark in it: pip install "airflow-ml-provider[local]"')


def main(folder: ClusterFolder, cache: Path) -> None:
    """Become a daemon: the caller's process returns, a guard and the supervisor below it live on."""
    if folder.hold() is None or folder.status.exists():
        return
    write_json(folder.status, {"state": ClusterState.PENDING, "message": "", "created_at": now()})
    if os.fork():
        return
    os.setsid()
    os.chdir("/")
    adopt_orphans()
    supervisor = os.fork()
    if supervisor:
        _guard(folder, supervisor)
        return
    os.setsid()
    die_with_parent(signal.SIGTERM)
    adopt_orphans()
    Supervisor(folder, cache).run()


def _guard(folder: ClusterFolder, supervisor: int) -> None:
    """Wait for the supervisor's end, and finish its work if it was killed."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(supervisor, signal.SIGTERM))
    code = _wait_for(supervisor)
    end_all(descendants)
    known = read_known(folder.status).get("state")
    if known not in (ClusterState.TERMINATED, ClusterState.FAILED):
        close(
            folder, ClusterState.FAILED, f"its supervisor was killed by signal {-code}" if code < 0 else "its supervisor failed"
        )


def _wait_for(pid: int) -> int:
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _fix(error: OSError) -> str:
    return f": {_MAKE_ROOM}" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""


def _drain(handle: int) -> None:
    os.read(handle, 4096)


def _try(call: Callable[[], Any]) -> None:
    """Do what may fail while the cluster ends anyway; a traceback goes to the supervisor's log."""
    try:
        call()
    except Exception:  # noqa: BLE001 - the traceback is printed
        _print_traceback()


def _print_traceback() -> None:
    with contextlib.suppress(OSError):  # the disk that holds the log may be the one that is full
        traceback.print_exc()


if __name__ == "__main__":
    main(ClusterFolder(Path(sys.argv[1])), Path(sys.argv[2]))
