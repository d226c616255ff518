"""One look for all who wait: the triggers of one event loop that wait on the same thing share their calls."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

from airflow_ml_provider.core.backend import Backend
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.hooks.spark_cluster import SparkClusterHook


async def in_thread(call: Callable[..., Any], *args: Any) -> Any:
    """Run a blocking call beside the event loop. ``sync_to_async`` keeps Airflow's own calls inside it working on 3.1."""
    return await sync_to_async(call, thread_sensitive=False)(*args)


@dataclass(eq=False)
class _Waiter:
    id: str
    due: float
    answer: asyncio.Future[Any]


@dataclass(eq=False)
class Poller(ABC):
    """Looks for all who wait.

    Whoever is due first looks for everybody, so that the calls do not grow with the number of waiting triggers.
    """

    users: int = field(default=0, init=False)
    _waiters: list[_Waiter] = field(default_factory=list, init=False)
    _looks: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    @abstractmethod
    def statuses(self, ids: Collection[str]) -> Mapping[str, Any]:
        """What each of the ids is now. Blocks: it is called in a thread."""

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

    def _look_for_all(self) -> None:
        """Look in a task of its own, so that a trigger that is cancelled takes nobody else's answer away."""
        waiters, self._waiters = self._waiters, []
        task = asyncio.get_running_loop().create_task(self._serve(waiters))
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    async def _serve(self, waiters: list[_Waiter]) -> None:
        try:
            statuses = await in_thread(self.statuses, sorted({waiter.id for waiter in waiters}))
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


@dataclass(eq=False)
class SparkPoller(Poller):
    """Looks at the clusters of a connection, or at the jobs of one cluster.

    :param handle: any of them.
    """

    handle: Handle
    _backend: Backend | None = field(default=None, init=False)

    def backend(self) -> Backend:
        """The service, opened when first asked for. Blocks: call it in a thread."""
        if self._backend is None:
            self._backend = SparkClusterHook.for_handle(self.handle).backend
        return self._backend

    def statuses(self, ids: Collection[str]) -> Mapping[str, Any]:
        if self.handle.job is None:
            return self.backend().describe(ids)
        return self.backend().poll(self.handle.cluster, ids)


P = TypeVar("P", bound=Poller)
_POLLERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Any]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_poller(key: Hashable, make: Callable[[], P]) -> AsyncIterator[P]:
    """The one poller with this key in this event loop, for as long as somebody uses it."""
    pollers = _POLLERS.setdefault(asyncio.get_running_loop(), {})
    poller: P = pollers.get(key) or pollers.setdefault(key, make())
    poller.users += 1
    try:
        yield poller
    finally:
        poller.users -= 1
        if not poller.users:
            pollers.pop(key, None)


def spark_key(handle: Handle) -> Hashable:
    """What handles have in common that share a poller: the connection, and for jobs the cluster."""
    return ("spark", handle.conn_id, handle.cluster if handle.job else None)
