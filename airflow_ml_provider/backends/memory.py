"""A service in a dict, for tests of everything above a backend. It lives as long as its process.

What happens to a cluster or a job is scripted by ``native`` on its spec: ``steps`` (looks until it is RUNNING, or ends),
``outcome`` (the state that it then takes), ``message``, and for a job ``result``, ``log`` (lines) and ``echo`` (the name of an
environment variable whose value becomes the result).
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from airflow_ml_provider.core.backend import NO_SECRETS, Feature, Plan, refuse_unsupported
from airflow_ml_provider.core.errors import NotFound, ProviderError, SpecError
from airflow_ml_provider.core.lowering import lowered
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode, PythonFile, Spec, merge
from airflow_ml_provider.core.state import ClusterState, ClusterStatus, JobState, JobStatus, LogPage, OwnedCluster

_STEPS_UNTIL_READY = 1
_STEPS_UNTIL_DONE = 2


@dataclass
class Job:
    """A job and what has become of it."""

    plan: Plan
    secrets: Mapping[str, str]
    begun: float
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
            return {**self.plan["env"], **self.secrets}.get(name)
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


@dataclass
class MemoryService:
    """What all backends of one service name share.

    :param calls: how often each method was called.
    :param faults: errors that the next calls raise, first in first out.
    :param clock: seconds since the epoch.
    """

    clusters: dict[str, Cluster] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    faults: deque[ProviderError] = field(default_factory=deque)
    clock: Callable[[], float] = time.time
    lock: threading.RLock = field(default_factory=threading.RLock)

    def enter(self, call: str) -> threading.RLock:
        """Count a call, raise the next fault if there is one, and give the lock to hold."""
        self.calls[call] += 1
        if self.faults:
            raise self.faults.popleft()
        return self.lock


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
        cluster = f"c-{token}"
        with self.service.enter("create"):
            now = self.service.clock()
            self.service.clusters.setdefault(cluster, Cluster(plan, created=now, busy=now, secrets=dict(secrets)))
        return cluster

    def describe(self, clusters: Collection[str]) -> dict[str, ClusterStatus]:
        with self.service.enter("describe"):
            return {cluster: self._look(cluster) for cluster in clusters}

    def terminate(self, cluster: str) -> None:
        with self.service.enter("terminate"):
            if found := self.service.clusters.get(cluster):
                found.end("terminated on request")

    def owned(self) -> Iterator[OwnedCluster]:
        with self.service.enter("owned"):
            live = [(id_, found) for id_, found in self.service.clusters.items() if not found.state.ended]
        for id_, found in live:
            yield OwnedCluster(id_, found.plan["name"], found.state, _when(found.created), found.plan["tags"])

    def submit(self, cluster: str, plan: Plan, *, token: str, secrets: Mapping[str, str] = NO_SECRETS) -> str:
        job = f"j-{token}"
        with self.service.enter("submit"):
            found = self.service.clusters.get(cluster)
            if found is None or (found.state.ended and job not in found.jobs):
                raise NotFound(f"cluster {cluster} has ended: create another one")
            found.jobs.setdefault(job, Job(plan, dict(secrets), begun=self.service.clock()))
        return job

    def poll(self, cluster: str, jobs: Collection[str]) -> dict[str, JobStatus]:
        with self.service.enter("poll"):
            return {job: self._look_at_job(cluster, job) for job in jobs}

    def cancel(self, cluster: str, job: str) -> None:
        with self.service.enter("cancel"):
            found = self._job(cluster, job)
            if found and not found.state.ended:
                found.state = JobState.CANCELLED

    def logs(self, cluster: str, job: str, *, after: str | None = None) -> LogPage:
        with self.service.enter("logs"):
            found = self._job(cluster, job)
            if found is None or found.state is JobState.PENDING:
                return LogPage(cursor=after)
            lines = tuple(found.plan["log"])
            return LogPage(lines[int(after or 0) :], cursor=str(len(lines)))

    def _look(self, cluster: str) -> ClusterStatus:
        found = self.service.clusters.get(cluster)
        if found is None:
            return ClusterStatus(ClusterState.TERMINATED, message="no such cluster")
        found.advance(self.service.clock())
        return ClusterStatus(found.state, found.message, started_at=_when(found.started) if found.started else None)

    def _look_at_job(self, cluster: str, job: str) -> JobStatus:
        found = self._job(cluster, job)
        if found is None:
            return JobStatus(JobState.CANCELLED, message="no such job")
        found.advance(self.service.clock())
        return found.status()

    def _job(self, cluster: str, job: str) -> Job | None:
        found = self.service.clusters.get(cluster)
        return found.jobs.get(job) if found else None


def _checked(plan: Plan, spec: str, states: type[ClusterState | JobState]) -> Plan:
    if plan["outcome"] not in set(states):
        raise SpecError(f"{spec}.native.outcome: got {plan['outcome']!r}: takes one of {', '.join(states)}")
    return plan


def _when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
