"""A service in a dict, for tests of everything above a backend. It lives as long as its process.

``native`` on a spec scripts what happens to a cluster or a job: ``steps`` (looks until it is RUNNING, or ends), ``outcome`` (the state
that it then takes) and ``message``. A job takes more: ``result``, ``log`` (lines), and in place of ``result`` one of ``echo`` (the name
of an environment variable), ``echo_conf`` (a Spark property) and ``echo_file`` (a file of the job), whose value becomes the result.

:class:`MemoryService` is the service, :class:`MemoryBackend` its client. Every call goes through :attr:`MemoryService.wire`, where a
test can lose the answer, refuse the call or change what comes back, as a network and a real service do.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, ClassVar

from airflow_ml_provider.core.backend import NO_SECRETS, Feature, Plan, refuse_unsupported
from airflow_ml_provider.core.errors import AccessDenied, NotFound, ProviderError, ServiceError, SpecError, Unavailable
from airflow_ml_provider.core.lowering import lowered
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode, PythonFile, Spec, merge
from airflow_ml_provider.core.state import ClusterState, ClusterStatus, JobState, JobStatus, LogPage, OwnedCluster

_STEPS_UNTIL_READY = 1
_STEPS_UNTIL_DONE = 2
_LINES_OF_PAGE = 1000
_SCRIPTED = ("echo", "echo_conf", "echo_file")
_ERRORS: Mapping[str, type[ServiceError]] = {
    "denied": AccessDenied,
    "expired": AccessDenied,
    "internal": Unavailable,
    "not_found": NotFound,
    "not_visible": Unavailable,
    "throttled": Unavailable,
}
"""What the service's error codes mean; any other code is a :class:`ServiceError`."""


class Refused(Exception):
    """The service's own error answer.

    :param code: one of the keys of the table above, or another one.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code


@dataclass
class Job:
    """A job and what has become of it.

    :param conf: the Spark properties that it finds, the cluster's own and its secret ones among them.
    :param env: the same for environment variables.
    """

    plan: Plan
    secrets: Mapping[str, str]
    begun: float
    conf: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    state: JobState = JobState.PENDING
    message: str = ""
    looks: int = 0

    def advance(self, now: float) -> None:
        """One look nearer to the scripted outcome, or to the end that its timeout sets."""
        if self.state.ended:
            return
        self.looks += 1
        seconds = self.plan["timeout"]
        if seconds is not None and now - self.begun > seconds:
            self.state, self.message = JobState.FAILED, f"the timeout of {seconds:g} s has passed"
        else:
            self.state = JobState(self.plan["outcome"]) if self.looks >= self.plan["steps"] else JobState.RUNNING

    def status(self) -> JobStatus:
        """The snapshot that the service answers with."""
        result = self._result() if self.state is JobState.SUCCEEDED else None
        return JobStatus(self.state, message=self.message or (self.plan["message"] if self.state.ended else ""), result=result)

    def _result(self) -> Any:
        if name := self.plan.get("echo"):
            return self.env.get(name)
        if key := self.plan.get("echo_conf"):
            return self.conf.get(key)
        if name := self.plan.get("echo_file"):
            return next(Path(path).read_text(encoding="utf-8") for path in self.plan["files"] if PurePath(path).name == name)
        return self.plan["result"]


@dataclass
class Cluster:
    """A cluster, its jobs by id, and when it was last busy (seconds of the service's clock)."""

    plan: Plan
    created: float
    busy: float
    secrets: Mapping[str, str]
    state: ClusterState = ClusterState.PENDING
    message: str = ""
    looks: int = 0
    started: float | None = None
    jobs: dict[str, Job] = field(default_factory=dict)

    def advance(self, now: float) -> None:
        """One look nearer to the scripted outcome, or to the end that a limit sets."""
        if self.state.ended:
            return
        self.looks += 1
        if self.state is ClusterState.PENDING and self.looks > self.plan["steps"]:
            self.state, self.message, self.started = ClusterState(self.plan["outcome"]), self.plan["message"], now
        self._enforce_limits(now)

    def run(self, plan: Plan, secrets: Mapping[str, str], now: float) -> Job:
        """A new job, with what it finds on this cluster."""
        conf = {**self.plan["spark_conf"], **self.secrets, **plan["spark_conf"]}
        env = {**self.plan["env"], **plan["env"], **secrets}
        return Job(plan, dict(secrets), begun=now, conf=conf, env=env)

    def end(self, message: str) -> None:
        """Terminate it, and with it every job that still runs."""
        if self.state.ended:
            return
        self.state, self.message = ClusterState.TERMINATED, message
        for job in self.jobs.values():
            if not job.state.ended:
                job.state = JobState.CANCELLED

    def _enforce_limits(self, now: float) -> None:
        if any(not job.state.ended for job in self.jobs.values()):
            self.busy = now
        for limit, since in (("idle_timeout", self.busy), ("max_lifetime", self.created)):
            seconds = self.plan[limit]
            if seconds is not None and now - since > seconds:
                self.end(f"{limit} of {seconds:g} s has passed")


def _undisturbed(_call: str, _subject: str, work: Callable[[], Any]) -> Any:
    return work()


@dataclass
class MemoryService:
    """What all backends of one service name share.

    :param calls: how often each method was called.
    :param faults: errors that the next calls raise, first in first out.
    :param hidden: by the id of a cluster or job, for how many more looks the service does not show it.
    :param wire: makes a call. Takes its name, the cluster's id or the token that it is about, and the work to do.
    :param clock: seconds since the epoch.
    """

    clusters: dict[str, Cluster] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    faults: deque[ProviderError] = field(default_factory=deque)
    hidden: Counter[str] = field(default_factory=Counter)
    wire: Callable[[str, str, Callable[[], Any]], Any] = _undisturbed
    clock: Callable[[], float] = time.time
    lock: threading.RLock = field(default_factory=threading.RLock)

    def create(self, plan: Plan, token: str, secrets: Mapping[str, str]) -> str:
        """Make a cluster, unless this token has one."""
        cluster = f"c-{token}"
        with self._enter("create"):
            now = self.clock()
            self.clusters.setdefault(cluster, Cluster(plan, created=now, busy=now, secrets=dict(secrets)))
        return cluster

    def describe(self, clusters: Collection[str]) -> dict[str, ClusterStatus]:
        """One look at each cluster."""
        with self._enter("describe"):
            return {cluster: self.look(cluster) for cluster in clusters}

    def terminate(self, cluster: str) -> None:
        """End a cluster, if it exists."""
        with self._enter("terminate"):
            if found := self._shown(cluster):
                found.end("terminated on request")

    def owned(self) -> list[OwnedCluster]:
        """The live clusters that the service shows."""
        with self._enter("owned"):
            live = [(id_, found) for id_, found in self.clusters.items() if not found.state.ended and not self.hidden[id_]]
            return [
                OwnedCluster(id_, item.plan["name"], item.state, _when(item.created), item.plan["tags"]) for id_, item in live
            ]

    def submit(self, cluster: str, plan: Plan, token: str, secrets: Mapping[str, str]) -> str:
        """Start a job, unless this token has one."""
        job = f"j-{token}"
        with self._enter("submit"):
            found = self._shown(cluster)
            if found is None or (found.state.ended and job not in found.jobs):
                raise Refused("not_found", f"cluster {cluster} has ended: create another one")
            if job not in found.jobs:
                found.jobs[job] = found.run(plan, secrets, self.clock())
        return job

    def poll(self, cluster: str, jobs: Collection[str]) -> dict[str, JobStatus]:
        """One look at each job."""
        with self._enter("poll"):
            return {job: self.look_at_job(cluster, job) for job in jobs}

    def cancel(self, cluster: str, job: str) -> None:
        """End a job, if it exists and runs."""
        with self._enter("cancel"):
            found = self._shown_job(cluster, job)
            if found and not found.state.ended:
                found.state = JobState.CANCELLED

    def logs(self, cluster: str, job: str, after: str | None) -> LogPage:
        """A page of a job's log."""
        with self._enter("logs"):
            found = self._job(cluster, job)
            if found is None or found.state is JobState.PENDING:
                return LogPage(cursor=after)
            begin = int(after or 0)
            lines = tuple(found.plan["log"][begin : begin + _LINES_OF_PAGE])
            return LogPage(lines, cursor=str(begin + len(lines)))

    def hide(self, id_: str, looks: int) -> None:
        """Do not show a cluster or a job for some looks."""
        with self.lock:
            self.hidden[id_] = looks

    def look(self, cluster: str) -> ClusterStatus:
        """The cluster's status, one look nearer to its outcome."""
        if cluster not in self.clusters:
            return ClusterStatus(ClusterState.TERMINATED, message="no such cluster")
        if self._is_hidden(cluster):
            return ClusterStatus(ClusterState.UNKNOWN, message=f"cluster {cluster} is not visible yet")
        found = self.clusters[cluster]
        found.advance(self.clock())
        return ClusterStatus(found.state, found.message, started_at=_when(found.started) if found.started else None)

    def look_at_job(self, cluster: str, job: str) -> JobStatus:
        """The job's status, one look nearer to its outcome."""
        found = self._job(cluster, job)
        if found is None:
            return JobStatus(JobState.CANCELLED, message="no such job")
        if self._is_hidden(job):
            return JobStatus(JobState.UNKNOWN, message=f"job {job} is not visible yet")
        found.advance(self.clock())
        return found.status()

    def _enter(self, call: str) -> threading.RLock:
        """Count a call, raise the next fault if there is one, and give the lock to hold."""
        self.calls[call] += 1
        if self.faults:
            raise self.faults.popleft()
        return self.lock

    def _shown(self, cluster: str) -> Cluster | None:
        """The cluster, for a call that changes something: what is not visible yet cannot be changed yet."""
        if self._is_hidden(cluster):
            raise Refused("not_visible", f"cluster {cluster} is not visible yet")
        return self.clusters.get(cluster)

    def _shown_job(self, cluster: str, job: str) -> Job | None:
        found = self._job(cluster, job)
        if found and self._is_hidden(job):
            raise Refused("not_visible", f"job {job} is not visible yet")
        return found

    def _is_hidden(self, id_: str) -> bool:
        hidden = self.hidden[id_] > 0
        self.hidden[id_] -= hidden
        return hidden

    def _job(self, cluster: str, job: str) -> Job | None:
        found = self.clusters.get(cluster)
        return found.jobs.get(job) if found else None


SERVICES: dict[str, MemoryService] = {}


class MemoryBackend:
    """Clusters and jobs in a dict. Two backends of the same service name see the same clusters."""

    name: ClassVar[str] = "memory"
    limits: ClassVar[Mapping[Feature, str]] = {Feature.SPOT: "memory is never sold as spot capacity"}
    programs: ClassVar[frozenset[type[Spec]]] = frozenset({PythonFile, PythonCode})

    def __init__(self, service: str = "default") -> None:
        self.service = SERVICES.setdefault(service, MemoryService())

    def plan_cluster(self, spec: ClusterSpec) -> Plan:
        refuse_unsupported(self, spec)
        plan = spec.model_dump(mode="json", exclude={"native", "idle_timeout", "max_lifetime"}, exclude_none=True)
        plan |= {
            "idle_timeout": spec.idle_timeout.total_seconds() if spec.idle_timeout else None,
            "max_lifetime": spec.max_lifetime.total_seconds() if spec.max_lifetime else None,
            "steps": _STEPS_UNTIL_READY,
            "outcome": ClusterState.RUNNING.value,
            "message": "",
        }
        return _checked(merge(plan, spec.native), "ClusterSpec", ClusterState)

    def plan_job(self, spec: JobSpec) -> Plan:
        spec = lowered(spec, self.programs)
        refuse_unsupported(self, spec)
        plan = spec.model_dump(mode="json", exclude={"native", "timeout"}, exclude_none=True)
        plan["timeout"] = spec.timeout.total_seconds() if spec.timeout else None
        plan |= {"steps": _STEPS_UNTIL_DONE, "outcome": JobState.SUCCEEDED.value, "message": "", "result": None, "log": []}
        return _checked(merge(plan, spec.native), "JobSpec", JobState)

    def create(self, plan: Plan, *, token: str, secrets: Mapping[str, str] = NO_SECRETS) -> str:
        made: str = self._ask("create", token, lambda: self.service.create(plan, token, secrets))
        return made

    def describe(self, clusters: Collection[str]) -> dict[str, ClusterStatus]:
        found = self._ask("describe", " ".join(clusters), lambda: self.service.describe(clusters))
        return {id_: replace(status, state=_state(ClusterState, status.state)) for id_, status in found.items()}

    def terminate(self, cluster: str) -> None:
        self._ask("terminate", cluster, lambda: self.service.terminate(cluster))

    def owned(self) -> Iterator[OwnedCluster]:
        for item in self._ask("owned", "", lambda: self.service.owned()):
            yield replace(item, state=_state(ClusterState, item.state))

    def submit(self, cluster: str, plan: Plan, *, token: str, secrets: Mapping[str, str] = NO_SECRETS) -> str:
        made: str = self._ask("submit", token, lambda: self.service.submit(cluster, plan, token, secrets))
        return made

    def poll(self, cluster: str, jobs: Collection[str]) -> dict[str, JobStatus]:
        found = self._ask("poll", cluster, lambda: self.service.poll(cluster, jobs))
        return {id_: replace(status, state=_state(JobState, status.state)) for id_, status in found.items()}

    def cancel(self, cluster: str, job: str) -> None:
        self._ask("cancel", cluster, lambda: self.service.cancel(cluster, job))

    def logs(self, cluster: str, job: str, *, after: str | None = None) -> LogPage:
        page: LogPage = self._ask("logs", cluster, lambda: self.service.logs(cluster, job, after))
        return page

    def _ask(self, call: str, subject: str, work: Callable[[], Any]) -> Any:
        with _translated():
            return self.service.wire(call, subject, work)


@contextmanager
def _translated() -> Iterator[None]:
    """The errors of the service and of the connection to it as ours."""
    try:
        yield
    except ProviderError:
        raise
    except Refused as refused:
        code, message = refused.args
        raise _ERRORS.get(code, ServiceError)(message or f"the service answered {code!r}") from refused
    except OSError as error:
        raise Unavailable(f"the service did not answer: {type(error).__name__}: {error}") from error


def _state(kind: type[ClusterState] | type[JobState], native: str) -> Any:
    return kind(native) if native in kind.__members__ else kind.UNKNOWN


def _checked(plan: Plan, spec: str, states: type[ClusterState | JobState]) -> Plan:
    if plan["outcome"] not in set(states):
        raise SpecError(f"{spec}.native.outcome: got {plan['outcome']!r}: takes one of {', '.join(states)}")
    if len(scripted := [name for name in _SCRIPTED if plan.get(name)]) > 1:
        raise SpecError(f"{spec}.native: got {' and '.join(scripted)}: takes one of them")
    return plan


def _when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
