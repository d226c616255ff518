"""States and the snapshots that backends answer with. Nothing here is secret; all of it may be logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class ClusterState(StrEnum):
    """Where a cluster is in its life."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    TERMINATING = "TERMINATING"
    TERMINATED = "TERMINATED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"

    @property
    def ended(self) -> bool:
        """True when no work can run on it any more."""
        return self in (ClusterState.TERMINATING, ClusterState.TERMINATED, ClusterState.FAILED)


class JobState(StrEnum):
    """Where a job is in its life."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"

    @property
    def ended(self) -> bool:
        """True when the job will not change any more."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """One look at a cluster.

    :param message: why it is in this state, in the service's words.
    :param connect_url: Spark Connect address without its token, where reachable.
    :param ui_url: address of the Spark UI.
    :param started_at: when it became RUNNING, aware.
    """

    state: ClusterState
    message: str = ""
    connect_url: str | None = None
    ui_url: str | None = None
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One look at a job.

    :param message: for a failed job, its last error.
    :param result: the JSON value that the program handed back; None until it succeeded, or when it gave none.
    :param ui_url: address of this job in the Spark UI.
    """

    state: JobState
    message: str = ""
    result: Any = None
    ui_url: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OwnedCluster:
    """A live cluster that this provider made, as the service lists it.

    :param tags: the spec's tags, among them who asked for it.
    """

    id: str
    name: str
    state: ClusterState
    created_at: datetime
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines of a driver's log.

    :param cursor: pass it as ``after`` to get what follows; None when the log has not begun.
    """

    lines: tuple[str, ...] = ()
    cursor: str | None = None
