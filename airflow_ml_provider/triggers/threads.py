"""Blocking calls beside an event loop: bounded for each service, and none keeps a process from ending.

A call that hangs keeps its thread, because Python cannot end a thread. So threads are daemons of our own instead of the event
loop's default pool, which has few for all triggers and is joined at exit, and each service has its own limit: a service that
hangs takes no thread from the others.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

from airflow_ml_provider.core.errors import Unavailable

PATIENCE = 120.0
"""Seconds until a call counts as unanswered. The clients' own time limits are shorter; this one is for those that have none."""
_MOST = 16


class _Daemons(Executor):
    """A new daemon thread for each call."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    answer = call(*args, **kwargs)
                except BaseException as error:  # noqa: BLE001 - whoever awaits the future raises it
                    future.set_exception(error)
                else:
                    future.set_result(answer)

        threading.Thread(target=work, name="airflow-ml-provider", daemon=True).start()
        return future


_DAEMONS = _Daemons()


async def in_thread(call: Callable[..., Any], *args: Any) -> Any:
    """Run a blocking call beside the event loop. ``sync_to_async`` keeps Airflow's own calls inside it working on 3.1."""
    return await sync_to_async(call, thread_sensitive=False, executor=_DAEMONS)(*args)  # type: ignore[call-overload]  # run_in_executor takes any


@dataclass(eq=False)
class Lane:
    """The blocking calls of one event loop to one service.

    :param most: how many run at once. A call that hangs keeps its place until it ends.
    """

    most: int = _MOST
    _free: asyncio.Semaphore = field(init=False)
    _calls: set[asyncio.Task[Any]] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.most)

    async def run(self, call: Callable[..., Any], *args: Any, within: float = PATIENCE) -> Any:
        """What the call answers.

        :param within: seconds, with those until it begins. The call itself goes on after them, and its answer is lost.
        :raises Unavailable: it was not answered in time.
        """
        try:
            async with asyncio.timeout(within) as limit:
                await self._free.acquire()
                return await asyncio.shield(self._started(call, *args))
        except TimeoutError:
            if not limit.expired():
                raise
        raise Unavailable(f"no answer within {within:.1f} s ({len(self._calls)} calls to the service are unanswered)")

    def _started(self, call: Callable[..., Any], *args: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(in_thread(call, *args))
        self._calls.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._calls.discard(task)
        self._free.release()
        if not task.cancelled():
            task.exception()  # nobody may be left to raise it


_LANES: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Lane]] = WeakKeyDictionary()


def lane_of(conn_id: str) -> Lane:
    """The lane of a connection's service in this event loop."""
    return _LANES.setdefault(asyncio.get_running_loop(), {}).setdefault(conn_id, Lane())
