"""Waits for an activity in Airflow's triggerer: for a moment, the end of another DAG's run, or an XCom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_ml_provider.adf.airflow.journal import Waiting

_ENDED = ("success", "failed")
_SHORTEST, _LONGEST = 1.0, 15.0
_MOST_FAULTS = 20
"""Looks in a row that may fail: some minutes of them."""


class WaitTrigger(BaseTrigger):
    """Fires at the first of what it waits for. It looks rarely for what takes long, as a parent may start hundreds of runs.

    :param until: a moment, in seconds since the epoch.
    :param run: the DAG and the id of a run that is to end.
    :param xcom: the DAG, the run, the task, the key and the map index of an XCom that is to come.
    """

    def __init__(self, until: float | None = None, run: Sequence[str] | None = None, xcom: Sequence[Any] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.until, self.awaited_run, self.awaited_xcom = until, run, xcom
        self._faults = 0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        fields = {"until": self.until, "run": self.awaited_run, "xcom": self.awaited_xcom}
        return f"{type(self).__module__}.{type(self).__qualname__}", fields

    async def run(self) -> AsyncIterator[TriggerEvent]:
        began = time.time()
        while not await self._has_happened():
            pause = min(max((time.time() - began) / 4, _SHORTEST), _LONGEST)
            if self.until is not None:
                alone = self.awaited_run is None and self.awaited_xcom is None
                pause = self.until - time.time() if alone else min(pause, self.until - time.time())
            await asyncio.sleep(max(pause, 0.05))
        yield TriggerEvent({})  # type: ignore[no-untyped-call]

    async def _has_happened(self) -> bool:
        if self.until is not None and time.time() >= self.until:
            return True
        try:
            found = await self._look()
        except Exception as error:  # noqa: BLE001 - whatever Airflow's API server says, the task itself is healthy
            self._faults += 1
            self.log.warning("Airflow does not tell (%s: %s): asking again", type(error).__name__, error)
            return self._faults > _MOST_FAULTS  # the task then asks itself, and fails with what it is told
        self._faults = 0
        return found

    async def _look(self) -> bool:
        if self.awaited_run is not None:
            return await sync_to_async(_has_ended)(*self.awaited_run)
        return self.awaited_xcom is not None and await sync_to_async(_has_come)(*self.awaited_xcom)


def _has_ended(dag_id: str, run_id: str) -> bool:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    return RuntimeTaskInstance.get_dagrun_state(dag_id, run_id) in _ENDED


def _has_come(dag_id: str, run_id: str, task_id: str, key: str, map_index: int) -> bool:
    from airflow.sdk.execution_time.xcom import XCom

    return XCom.get_one(dag_id=dag_id, run_id=run_id, task_id=task_id, key=key, map_index=map_index) is not None


def trigger_of(waiting: Waiting, ti: Any) -> WaitTrigger:
    """The trigger of what a task waits for."""
    xcom = [ti.dag_id, ti.run_id, *waiting.xcom] if waiting.xcom else None
    return WaitTrigger(waiting.until, list(waiting.run) if waiting.run else None, xcom)
