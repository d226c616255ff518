"""What to do after one look at a cluster or a job. Without a clock or a call, so that waiting tasks and triggers decide alike."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from airflow_ml_provider.core.errors import ClusterFailed, JobFailed, ProviderError, Unavailable
from airflow_ml_provider.core.state import ClusterState, ClusterStatus, JobState, JobStatus

MAX_BACKOFF = 60.0
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Decision:
    """Wait on (``done`` is False), or stop: with ``error`` when the wait can never succeed."""

    done: bool
    error: ProviderError | None = None


WAIT = Decision(done=False)
DONE = Decision(done=True)


def decide_cluster(handle: str, status: ClusterStatus) -> Decision:
    """Done when the cluster is ``RUNNING``; an error when it ended before."""
    if status.state is ClusterState.RUNNING:
        return DONE
    if status.state.ended:
        return Decision(done=True, error=ClusterFailed(_sentence("Cluster", handle, status.state, status.message)))
    return WAIT


def decide_job(handle: str, status: JobStatus) -> Decision:
    """Done when the job ``SUCCEEDED``; an error when it ended in any other way."""
    if status.state is JobState.SUCCEEDED:
        return DONE
    if status.state.ended:
        return Decision(done=True, error=JobFailed(_sentence("Job", handle, status.state, status.message)))
    return WAIT


def status_of(statuses: Mapping[str, S], id_: str) -> S:
    """The status of one id in a service's answer; :class:`Unavailable` when the answer lacks it."""
    if id_ not in statuses:
        raise Unavailable(f"the service's answer lacks {id_!r}")
    return statuses[id_]


def backoff(interval: float, faults: int) -> float:
    """Seconds until the next look: the interval, or after faults in a row a growing, jittered time of at most a minute."""
    if not faults:
        return interval
    ceiling: float = min(MAX_BACKOFF, max(interval, 1.0) * 2.0 ** min(faults, 16))
    return random.uniform(ceiling / 2, ceiling)


def _sentence(kind: str, handle: str, state: ClusterState | JobState, message: str) -> str:
    return f"{kind} {handle} is {state}" + (f": {message}" if message else "")
