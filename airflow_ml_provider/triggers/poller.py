"""One look for all who wait: the triggers of one event loop that wait on the same service share their calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

from airflow_ml_provider.core.backend import Backend
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.hooks.spark_cluster import SparkClusterHook

Key = tuple[str, str | None]


async def in_thread(call: Callable[..., Any], *args: Any) -> Any:
    """Run a blocking call beside the event loop. ``sync_to_async`` keeps Airflow's own calls inside it working on 3.1."""
    return await sync_to_async(call, thread_sensitive=False)(*args)


@dataclass(eq=False)
class _Waiter:
    id: str
    due: float
    answer: asyncio.Future[Any]


@dataclass(eq=False)
class Poller:
    """Looks at the clusters of a connection, or at the jobs of one cluster, for all who wait on them.

    Whoever is due first looks for everybody, so that the calls do not grow with the number of waiting triggers.
    """

    handle: Handle
    users: int = 0
    _backend: Backend | None = None
    _waiters: list[_Waiter] = field(default_factory=list)
    _looks: set[asyncio.Task[None]] = field(default_factory=set)

    async def look(self, id_: str, seconds: float) -> Any:
        """The status of one id, from a look at all of them that comes after ``seconds`` at the latest.

        :raises ProviderError: what the look met.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(id_, loop.time() + seconds, loop.create_future())
        self._waiters.append(waiter)
        try:
            await asyncio.wait({waiter.answer}, timeout=seconds)
            if waiter in self._waiters:
                self._look_for_all()
            return await waiter.answer
        finally:
            waiter.answer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def backend(self) -> Backend:
        """The service, opened when first asked for. Blocks: call it in a thread."""
        if self._backend is None:
            self._backend = SparkClusterHook.for_handle(self.handle).backend
        return self._backend

    def _look_for_all(self) -> None:
        """Look in a task of its own, so that a trigger that is cancelled takes nobody else's answer away."""
        waiters, self._waiters = self._waiters, []
        task = asyncio.get_running_loop().create_task(self._serve(waiters))
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    async def _serve(self, waiters: list[_Waiter]) -> None:
        try:
            statuses = await in_thread(self._statuses, sorted({waiter.id for waiter in waiters}))
        except asyncio.CancelledError:
            for waiter in waiters:
                waiter.answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - each waiter raises it
            for waiter in waiters:
                if not waiter.answer.done():
                    waiter.answer.set_exception(error)
            return
        for waiter in waiters:
            if not waiter.answer.done():
                waiter.answer.set_result(statuses[waiter.id])

    def _statuses(self, ids: Collection[str]) -> Any:
        if self.handle.job is None:
            return self.backend().describe(ids)
        return self.backend().poll(self.handle.cluster, ids)


_POLLERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, Poller]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_poller(handle: Handle) -> AsyncIterator[Poller]:
    """The poller of a handle's connection (of its cluster, for a job), for as long as somebody uses it."""
    pollers = _POLLERS.setdefault(asyncio.get_running_loop(), {})
    key = (handle.conn_id, handle.cluster if handle.job else None)
    poller = pollers.setdefault(key, Poller(handle))
    poller.users += 1
    try:
        yield poller
    finally:
        poller.users -= 1
        if not poller.users:
            pollers.pop(key, None)
