"""One look for all who wait: the triggers of one event loop that wait on the same thing share their calls."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

from airflow_ml_provider.core.backend import Backend
from airflow_ml_provider.core.errors import Unavailable
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.polling import status_of
from airflow_ml_provider.hooks.spark_cluster import SparkClusterHook
from airflow_ml_provider.triggers.threads import PATIENCE, Lane, lane_of

_LOOKS_AT_ONCE = 2


@dataclass(eq=False)
class _Waiter:
    id: str
    answer: asyncio.Future[Any]


@dataclass(eq=False)
class Poller(ABC):
    """Looks for all who wait.

    Whoever is due first looks for everybody, so that the calls do not grow with the number of waiting triggers.
    """

    patience: ClassVar[float] = PATIENCE
    """Seconds until a look counts as unanswered."""
    users: int = field(default=0, init=False)
    _waiters: list[_Waiter] = field(default_factory=list, init=False)
    _looks: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _lane: Lane | None = field(default=None, init=False)

    @abstractmethod
    def statuses(self, ids: Collection[str]) -> Mapping[str, Any]:
        """What each of the ids is now. Blocks: it is called in a thread."""

    def lane(self) -> Lane:
        """Where its blocking calls run; by default this poller's own."""
        self._lane = self._lane or Lane(_LOOKS_AT_ONCE)
        return self._lane

    async def look(self, id_: str, seconds: float, within: float = math.inf) -> Any:
        """The status of one id, from a look at all of them.

        :param seconds: the look begins after them at the latest.
        :param within: seconds from now in which it must be answered: those until a deadline.
        :raises Unavailable: it was not answered in time, or the answer lacks the id.
        :raises ProviderError: what the look met.
        """
        loop = asyncio.get_running_loop()
        waiter, end = _Waiter(id_, loop.create_future()), loop.time() + min(within, seconds + self.patience)
        self._waiters.append(waiter)
        try:
            await asyncio.wait({waiter.answer}, timeout=seconds)
            if waiter in self._waiters:
                self._look_for_all()
            await asyncio.wait({waiter.answer}, timeout=max(end - loop.time(), 0.0))
            if not waiter.answer.done():
                raise Unavailable(f"a look at {id_} was not answered in time")
            return waiter.answer.result()
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
            statuses = await self.lane().run(self.statuses, sorted({waiter.id for waiter in waiters}), within=self.patience)
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
            _give(waiter, statuses)


def _give(waiter: _Waiter, statuses: Mapping[str, Any]) -> None:
    """Answer one waiter from the statuses of all."""
    if waiter.answer.done():
        return
    try:
        waiter.answer.set_result(status_of(statuses, waiter.id))
    except Unavailable as error:
        waiter.answer.set_exception(error)


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

    def lane(self) -> Lane:
        """One for all pollers of a connection: its limit is the service's."""
        return lane_of(self.handle.conn_id)

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
