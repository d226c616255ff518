"""The calls of the local backend. Each reads or writes files that the cluster's supervisor shares."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from airflow_ml_provider.backends.local import fuse, supervisor, translate
from airflow_ml_provider.backends.local.commands import inherited_environment
from airflow_ml_provider.backends.local.interpreters import refuse_missing
from airflow_ml_provider.backends.local.java import find_jdk
from airflow_ml_provider.backends.local.layout import (
    ClusterFolder,
    JobFolder,
    Root,
    appear,
    make_folder,
    read_json,
    read_known,
    write_json,
)
from airflow_ml_provider.core.backend import NO_SECRETS, Feature, Plan, refuse_unsupported
from airflow_ml_provider.core.caches import sweep_at_times
from airflow_ml_provider.core.errors import AccessDenied, CapacityError, ConfigurationError, NotFound, ServiceError, SpecError
from airflow_ml_provider.core.lowering import lowered
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode, PythonFile, Spec
from airflow_ml_provider.core.state import ClusterState, ClusterStatus, JobState, JobStatus, LogPage, OwnedCluster

_ON_THIS_MACHINE = "it is made of processes on this machine"
_LAUNCH_LIMIT = 60.0
_UNLAUNCHED_LIMIT = 60.0
_KEEP_ENDED = 7 * 24 * 3600.0
_PAGE = 256 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)


class LocalBackend:
    """Spark on this machine.

    :param root: the folder of the clusters' state; made with mode 0700 when it is missing.
    """

    name: ClassVar[str] = "local"
    limits: ClassVar[Mapping[Feature, str]] = {
        Feature.AUTOSCALING: f"{_ON_THIS_MACHINE}: set workers",
        Feature.GPUS: f"{_ON_THIS_MACHINE}, and programs see the GPUs that it has",
        Feature.INSTANCE_TYPE: f"{_ON_THIS_MACHINE}: set cores and memory",
        Feature.SPOT: _ON_THIS_MACHINE,
    }
    programs: ClassVar[frozenset[type[Spec]]] = frozenset({PythonFile, PythonCode})

    def __init__(self, root: Path) -> None:
        self.root = Root(Path(root))

    def plan_cluster(self, spec: ClusterSpec) -> Plan:
        refuse_unsupported(self, spec)
        _refuse_other_spark(spec.spark_version)
        return translate.plan_cluster(spec)

    def plan_job(self, spec: JobSpec) -> Plan:
        refuse_missing(spec)
        spec = lowered(spec, self.programs)
        refuse_unsupported(self, spec)
        return translate.plan_job(spec)

    def has_path(self, path: str) -> bool:
        return Path(path).exists()

    def check(self) -> str:
        """What the Test button asks: whether a cluster could start here."""
        jdk, home = find_jdk(), supervisor.spark_home()
        with _translated():
            make_folder(self.root.clusters)
        return f"Spark in {home}, Java {jdk.version} in {jdk.home}"

    def create(self, plan: Plan, *, token: str, secrets: Mapping[str, str] = NO_SECRETS) -> str:
        cluster = f"c-{token}"
        folder = self.root.cluster(cluster)
        with _translated():
            if not folder.path.exists():
                _check_machine(plan)
                make_folder(self.root.path)
                make_folder(self.root.clusters)
                self._forget_old()
                sweep_at_times(self.root.cache)
                appear(folder.path, {"plan.json": plan, "secrets.json": secrets} if secrets else {"plan.json": plan})
            if not folder.status.exists():
                self._launch(folder)
        return cluster

    def describe(self, clusters: Collection[str]) -> dict[str, ClusterStatus]:
        with _translated():
            return {cluster: self._describe(cluster) for cluster in clusters}

    def terminate(self, cluster: str) -> None:
        with _translated():
            if self._known(cluster):
                folder = self.root.cluster(cluster)
                folder.terminate.touch()
                folder.nudge()

    def owned(self) -> Iterator[OwnedCluster]:
        with _translated():
            found = [self._owned(cluster, folder) for cluster, folder in self.root.cluster_folders()]
        yield from filter(None, found)

    def _owned(self, cluster: str, folder: ClusterFolder) -> OwnedCluster | None:
        """The cluster, while it lives. One whose plan cannot be read is listed without a name and tags."""
        state = self._describe(cluster).state
        if not folder.plan.exists() or state in (ClusterState.TERMINATED, ClusterState.FAILED):
            return None
        plan, made = read_known(folder.plan), read_known(folder.status).get("created_at")
        created = _time(made) or datetime.fromtimestamp(folder.plan.stat().st_mtime).astimezone()
        return OwnedCluster(cluster, plan.get("name", cluster), state, created, plan.get("tags", {}))

    def submit(self, cluster: str, plan: Plan, *, token: str, secrets: Mapping[str, str] = NO_SECRETS) -> str:
        job = f"j-{token}"
        folder = self.root.cluster(cluster)
        with _translated():
            if self._known(cluster) and folder.job(job).path.exists():
                return job
            if self._describe(cluster).state.ended:
                raise NotFound(f"cluster {cluster} has ended: create another one")
            _check_files(plan)
            make_folder(folder.jobs)
            appear(folder.job(job).path, {"plan.json": plan, "secrets.json": secrets} if secrets else {"plan.json": plan})
            folder.nudge()
        return job

    def poll(self, cluster: str, jobs: Collection[str]) -> dict[str, JobStatus]:
        with _translated():
            return {job: self._poll(cluster, job) for job in jobs}

    def cancel(self, cluster: str, job: str) -> None:
        with _translated():
            if found := self._job(cluster, job):
                found.cancel.touch()
                self.root.cluster(cluster).nudge()

    def logs(self, cluster: str, job: str, *, after: str | None = None) -> LogPage:
        with _translated():
            found = self._job(cluster, job)
            ended = found is not None and self._state(cluster, found)[0].ended
            return _page(found.log, int(after or 0), to_the_end=ended) if found else LogPage(cursor=after)

    def _launch(self, folder: ClusterFolder) -> None:
        """Start the supervisor; it is there when this returns."""
        command = [sys.executable, "-m", supervisor.__name__, str(folder.path.absolute()), str(self.root.cache.absolute())]
        log = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            env = inherited_environment(os.environ)
            done = subprocess.run(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=_LAUNCH_LIMIT, check=False
            )
        finally:
            os.close(log)
        if done.returncode:
            raise ServiceError(f"the supervisor did not start: {folder.log.read_text(errors='replace').strip()[-500:]}")

    def _describe(self, cluster: str) -> ClusterStatus:
        if not self._known(cluster):
            return ClusterStatus(ClusterState.TERMINATED, message="no such cluster")
        folder = self.root.cluster(cluster)
        recorded = self._recorded(folder)
        state = translate.cluster_state(recorded["state"])
        if folder.terminate.exists() and not state.ended:
            state = ClusterState.TERMINATING
        urls = {"connect_url": recorded.get("connect_url"), "ui_url": recorded.get("ui_url")}
        return ClusterStatus(state, recorded["message"], **urls, started_at=_time(recorded.get("started_at")))

    def _recorded(self, folder: ClusterFolder) -> dict[str, Any]:
        """What the supervisor wrote last, unless it is gone without a last word."""
        held = folder.is_held()
        found = _status(folder.status)
        if held or found["state"] in (ClusterState.TERMINATED, ClusterState.FAILED):
            return found
        if not folder.status.exists() and time.time() - folder.plan.stat().st_mtime < _UNLAUNCHED_LIMIT:
            return found
        found |= {"state": ClusterState.FAILED, "message": "its supervisor is gone: the machine was restarted, or all was killed"}
        with contextlib.suppress(OSError):  # the next look says the same
            found["message"] = "; ".join([found["message"], *folder.clear()])
            write_json(folder.status, found)
        return found

    def _poll(self, cluster: str, job: str) -> JobStatus:
        found = self._job(cluster, job)
        if found is None:
            return JobStatus(JobState.CANCELLED, message="no such job")
        state, recorded = self._state(cluster, found)
        result = _result(found.result) if state is JobState.SUCCEEDED else None
        times = {key: _time(recorded.get(key)) for key in ("started_at", "ended_at")}
        return JobStatus(state, recorded["message"], result=result, ui_url=recorded.get("ui_url"), **times)

    def _state(self, cluster: str, job: JobFolder) -> tuple[JobState, dict[str, Any]]:
        """The job's state, and what was recorded of it."""
        recorded, whole = _status(job.status), self._describe(cluster)
        state = translate.job_state(recorded["state"])
        if not state.ended and whole.state in (ClusterState.TERMINATED, ClusterState.FAILED):
            state = JobState.FAILED if whole.state is ClusterState.FAILED else JobState.CANCELLED
            recorded["message"] = f"the cluster ended: {whole.message}"
        return state, recorded

    def _known(self, cluster: str) -> bool:
        return translate.is_id(cluster) and self.root.cluster(cluster).plan.exists()

    def _job(self, cluster: str, job: str) -> JobFolder | None:
        if not self._known(cluster) or not translate.is_id(job):
            return None
        found = self.root.cluster(cluster).job(job)
        return found if found.plan.exists() else None

    def _forget_old(self) -> None:
        """Remove what is left of clusters that ended a week ago."""
        for _, folder in self.root.cluster_folders():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - folder.status.stat().st_mtime > _KEEP_ENDED and not folder.is_held():
                    folder.remove()


def _status(path: Path) -> dict[str, Any]:
    """What was written last of a cluster or a job. A damaged file tells no state: its supervisor writes it anew when it changes."""
    try:
        found = read_json(path)
    except ValueError as error:
        found = {"state": ClusterState.UNKNOWN, "message": str(error)}
    return {"state": ClusterState.PENDING, "message": "", **(found or {})}


def _result(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ServiceError(f"the result in {path} is damaged: it is not valid JSON: {error}") from error


def _time(text: Any) -> datetime | None:
    """The time that was written; None for none, and for what is no time."""
    try:
        return datetime.fromisoformat(text) if text else None
    except (TypeError, ValueError):
        return None


def _page(log: Path, offset: int, *, to_the_end: bool) -> LogPage:
    """Whole lines from ``offset`` on; the last line may lack its end once nobody writes any more, or when it fills the page."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            data = file.read(_PAGE)
    except FileNotFoundError:
        return LogPage(cursor=None if not offset else str(offset))
    end = len(data) if (to_the_end and len(data) < _PAGE) else data.rfind(b"\n") + 1
    if not end and len(data) == _PAGE:
        end = len(data)
    lines = data[:end].decode("utf-8", errors="replace").split("\n")
    return LogPage(tuple(lines if lines[-1] else lines[:-1]), cursor=str(offset + end))


def _check_machine(plan: Plan) -> None:
    if sys.platform != "linux":
        raise ConfigurationError(f"the local backend runs on Linux, and this is {sys.platform}: use a container")
    find_jdk({**os.environ, **plan["env"]})
    supervisor.spark_home()
    fuse.check(plan.get("folders", ()))
    needed, there = translate.memory_needed(plan), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20)
    if needed > there:
        raise CapacityError(f"driver.memory and worker.memory: got {needed} MiB in all: this machine has {there} MiB")


def _check_files(plan: Plan) -> None:
    """Every file that a job's plan names is there."""
    program = plan["program"]
    named = {"files": plan["files"], "libraries": [item["path"] for item in plan["libraries"] if "path" in item]}
    if program["kind"] == "python_file":
        named["program.path"] = [program["path"]]
    missing = [(field, path) for field, paths in named.items() for path in paths if not Path(path).is_file()]
    if missing:
        raise SpecError(*(f"JobSpec.{field}: got {path!r}: there is no such file" for field, path in missing))


def _refuse_other_spark(asked: str | None) -> None:
    if asked is None:
        return
    from importlib.metadata import version

    installed = version("pyspark")
    if installed != asked and not installed.startswith(f"{asked}."):
        fix = f"leave it out, or: pip install pyspark=={asked}" + ("" if asked.count(".") > 1 else ".*")
        raise SpecError(f"ClusterSpec.spark_version: got {asked!r}: the installed PySpark is {installed}: {fix}")


@contextmanager
def _translated() -> Iterator[None]:
    """The operating system's errors as ours."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename or 'the state folder'}: {error.strerror}"
        if error.errno in _FULL:
            raise CapacityError(f"{where}: make room, or give the connection another staging_uri") from error
        if isinstance(error, PermissionError):
            raise AccessDenied(f"{where}: let this user write there, or give the connection another staging_uri") from error
        raise ServiceError(where) from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"the supervisor did not start in {error.timeout:g} s") from error
