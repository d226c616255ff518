"""Waiting on a worker: the loops of the operators that do not defer, and how a kill ends them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_ml_provider.core.backend import Backend
from airflow_ml_provider.core.errors import JobFailed, Unavailable
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.polling import Decision, decide_cluster, decide_job, status_of
from airflow_ml_provider.core.state import ClusterStatus, JobStatus
from airflow_ml_provider.triggers.logs import LogTail
from airflow_ml_provider.triggers.pace import Pace

Status = TypeVar("Status", ClusterStatus, JobStatus)
_SLICE = 0.5
_CANCEL_TRIES = 5


@dataclass
class Killed:
    """Whether the task was killed, and the job to cancel then. Airflow calls :meth:`kill` inside a signal handler.

    :param job: the job that runs, once there is one.
    """

    backend: Backend | None = None
    job: Handle | None = None
    now: bool = False

    @property
    def opened(self) -> Backend:
        """The backend that the task has opened."""
        if self.backend is None:
            raise RuntimeError("the task waits on a backend that it has not opened")
        return self.backend

    def kill(self) -> None:
        """Cancel the job if there is one, and let the loop see it."""
        self.now = True
        if self.backend and self.job:
            self._cancel(self.backend, self.job)

    def unless_killed(self, ask: Callable[[], str]) -> Callable[[], str]:
        """A call that asks for the job, unless the task was killed meanwhile: the job may be another attempt's by now.

        :raises JobFailed: by the call, when the task was killed.
        """

        def asked() -> str:
            if self.now:
                raise JobFailed("the task was killed before it asked for its job")
            return ask()

        return asked

    def started(self, job: Handle) -> None:
        """There is a job; when the kill came first, cancel it now."""
        self.job = job
        if self.now:
            self.kill()

    def _cancel(self, backend: Backend, job: Handle) -> None:
        for tries_left in reversed(range(_CANCEL_TRIES)):
            try:
                backend.cancel(job.cluster, job.job or "")
            except Unavailable:
                if not tries_left:
                    raise
                time.sleep(_SLICE)
            else:
                return


@dataclass(frozen=True)
class SyncWait:
    """A wait in a task's own process.

    :param interval: seconds between looks.
    """

    killed: Killed
    interval: float
    log: Any

    def for_cluster(self, handle: Handle) -> ClusterStatus:
        """The status of a cluster that is ready or has ended. Killed, it raises :class:`JobFailed`."""
        backend = self.killed.opened

        def look() -> ClusterStatus:
            if self.killed.now:
                raise JobFailed(f"The task was killed while it waited for cluster {handle}")
            return status_of(backend.describe([handle.cluster]), handle.cluster)

        return self._wait(look, lambda status: decide_cluster(str(handle), status))

    def for_job(self, handle: Handle, tail: LogTail | None) -> JobStatus:
        """The status of a job that has ended. Lines of its log go to the task's log as they come.

        A killed task stays in the loop until its job is seen to have ended, or Airflow's second signal comes.
        """
        backend, job = self.killed.opened, handle.job or ""

        def look() -> JobStatus:
            status = status_of(backend.poll(handle.cluster, [job]), job)
            if tail:
                tail.copy()
            return status

        return self._wait(look, lambda status: decide_job(str(handle), status))

    def _wait(self, look: Callable[[], Status], decide: Callable[[Status], Decision]) -> Status:
        pace = Pace(self.interval)
        while True:
            self._pause(pace.seconds())
            try:
                status = look()
            except Unavailable as error:
                pace.failed()
                self.log.warning("The service is unavailable (%s): %d times in a row", error, pace.faults)
                continue
            pace.seen()
            if decide(status).done:
                return status

    def _pause(self, seconds: float) -> None:
        """Sleep, in slices: a signal handler cannot end a sleep."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.1 if self.killed.now else _SLICE))
            if self.killed.now:
                return
