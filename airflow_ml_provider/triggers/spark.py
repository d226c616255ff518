"""The one trigger: it waits for a cluster to be ready or for a job to end, on any service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ml_provider.core.errors import ProviderError, Unavailable
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.polling import decide_cluster, decide_job
from airflow_ml_provider.core.state import JobStatus
from airflow_ml_provider.hooks.spark_cluster import SparkClusterHook
from airflow_ml_provider.triggers.logs import LogCopy, LogTail
from airflow_ml_provider.triggers.pace import JOB_KEY, Pace
from airflow_ml_provider.triggers.poller import SparkPoller, shared_poller, spark_key
from airflow_ml_provider.triggers.threads import Lane, in_thread, lane_of

_CANCEL_TRIES = 5
_CANCEL_PAUSE = 1.0
_CANCEL_WITHIN = 20.0
_COPY_WITHIN = 30.0
_ASK_AIRFLOW = 10.0


class SparkTrigger(BaseTrigger):
    """Fires once the cluster is ready or has ended, or once the job has ended.

    The event is a mapping: ``outcome`` (``ended``, ``timeout`` after the deadline, ``error`` when the service can not be asked),
    ``message``, ``handle``, ``cursor`` and ``note``. A passing fault of the service is waited out. The job is cancelled when a
    user ends the task and after the deadline, and never because the triggerer stops.

    :param handle: of a cluster or a job.
    :param poll_interval: seconds between looks; triggers on one cluster share them.
    :param deadline: seconds since the epoch, None for no limit.
    :param cursor: where the log's copy goes on.
    :param stream_logs: copy the driver's log into the task's.
    :param cancels: False for one that only watches.
    :param note: given back in the event. Nothing secret.
    """

    def __init__(
        self,
        handle: str,
        poll_interval: float,
        deadline: float | None = None,
        cursor: str | None = None,
        stream_logs: bool = True,
        cancels: bool = True,
        note: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.handle = handle
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.cursor = cursor
        self.stream_logs = stream_logs
        self.cancels = cancels
        self.note = note

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("handle", "poll_interval", "deadline", "cursor", "stream_logs", "cancels", "note")
        return "airflow_ml_provider.triggers.spark.SparkTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        handle = Handle.parse(self.handle)
        try:
            async with shared_poller(spark_key(handle), lambda: SparkPoller(handle)) as poller:
                ended = await self._wait(handle, poller)
            message = "" if ended else await self._time_out(handle)
        except asyncio.CancelledError:
            if not hasattr(BaseTrigger, "on_kill"):
                await _to_the_end(self._cancel_unless_waited_for(unknown=True))
            raise
        except ProviderError as error:
            yield self._event("error", str(error))
        except Exception as error:
            self.log.exception("The wait for %s failed", handle)
            yield self._event("error", f"The wait for {handle} failed: {type(error).__name__}: {error}")
        else:
            yield self._event("ended" if ended else "timeout", message)

    async def on_kill(self) -> None:
        """A user ended the task: cancel its job."""
        await _to_the_end(self._cancel_unless_waited_for(unknown=False))

    async def _wait(self, handle: Handle, poller: SparkPoller) -> bool:
        """True once there is nothing to wait for, False once the deadline has passed."""
        pace, copy = Pace(self.poll_interval), None
        try:
            while (left := self._seconds_left()) > 0:
                try:
                    status = await poller.look(handle.job or handle.cluster, min(pace.seconds(), left), within=left)
                    copy = copy or await self._log_copy(handle, poller)
                except Unavailable as error:
                    pace.failed()
                    self.log.warning("The service is unavailable (%s): %d times in a row", error, pace.faults)
                    continue
                pace.seen()
                await self._copy_log(copy)
                decide = decide_job(self.handle, status) if isinstance(status, JobStatus) else decide_cluster(self.handle, status)
                if decide.done:
                    return True
            return False
        finally:
            if copy:
                copy.stop()

    async def _log_copy(self, handle: Handle, poller: SparkPoller) -> LogCopy | None:
        if not handle.job or not self.stream_logs:
            return None
        backend = await poller.lane().run(poller.backend)
        return LogCopy(LogTail(backend, handle, self.log, self.cursor), lane_of(f"logs of {handle.conn_id}"))

    async def _copy_log(self, copy: LogCopy | None) -> None:
        if copy:
            await copy.go_on(min(_COPY_WITHIN, self._seconds_left()))
            self.cursor = copy.tail.cursor

    async def _cancel(self, handle: Handle) -> None:
        if not self._has_work():
            return
        for tries_left in reversed(range(_CANCEL_TRIES)):
            try:
                await Lane(1).run(_cancel_now, handle, within=_CANCEL_WITHIN)
                self.log.info("Cancelled %s", handle)
                return
            except Unavailable:
                if not tries_left:
                    raise
                await asyncio.sleep(_CANCEL_PAUSE)

    async def _cancel_unless_waited_for(self, *, unknown: bool) -> None:
        """Airflow also stops a trigger that another triggerer has taken over; its task then still waits."""
        if not self._has_work():
            return
        if await self._still_waits(unknown=unknown):
            self.log.info("Another triggerer waits for %s now", self.handle)
            return
        await self._cancel(Handle.parse(self.handle))

    def _has_work(self) -> bool:
        """True when there is a job that this trigger may cancel."""
        return self.cancels and Handle.parse(self.handle).job is not None

    async def _still_waits(self, *, unknown: bool) -> bool:
        """Whether Airflow's task still waits for this job; ``unknown`` when it does not say."""
        if self.task_instance is None:
            return unknown
        try:
            return bool(await asyncio.wait_for(in_thread(_waits_for, self.task_instance, self.handle), _ASK_AIRFLOW))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the caller knows what is safe
            self.log.warning("Airflow does not tell the task's state: %s", error)
            return unknown

    def _seconds_left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - time.time()

    async def _time_out(self, handle: Handle) -> str:
        """Cancel the job after the deadline; what the task is told."""
        passed = f"The time limit of the wait for {handle} has passed"
        try:
            await self._cancel(handle)
        except ProviderError as error:
            return f"{passed}, and it could not be cancelled: {error}"
        return f"{passed}: it was cancelled" if self._has_work() else passed

    def _event(self, outcome: str, message: str = "") -> TriggerEvent:
        told = {"outcome": outcome, "message": message, "handle": self.handle}
        return TriggerEvent({**told, "cursor": self.cursor, "note": self.note})  # type: ignore[no-untyped-call]


_TO_THE_END: set[asyncio.Task[None]] = set()


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do the work though its waiter is cancelled: each second until a trigger has stopped, Airflow cancels it again."""
    task = asyncio.create_task(work)
    _TO_THE_END.add(task)
    task.add_done_callback(_TO_THE_END.discard)
    await asyncio.shield(task)


def _waits_for(ti: Any, job: str) -> bool:
    """True when the task is deferred, and on this job: one that was cleared may be deferred again on its next job by now."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from airflow.sdk.execution_time.xcom import XCom

    states: dict[str, dict[str, str | None]] = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
    if states.get(ti.run_id, {}).get(name) != "deferred":
        return False
    found = XCom.get_one(key=JOB_KEY, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)
    return bool(found == job)


def _cancel_now(handle: Handle) -> None:
    SparkClusterHook.for_handle(handle).backend.cancel(handle.cluster, handle.job or "")
