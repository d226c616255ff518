"""A limit of time for a part of a task: what takes longer is interrupted where it stands, by a signal as Airflow's own timeout is."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_TALKS = "airflow.sdk.execution_time.comms"
_SOON = 0.05


class TimedOut(BaseException):
    """The time of a limit has passed. No ``except Exception`` on the way takes it for an error of its own.

    :param limit: which one.
    """

    def __init__(self, limit: object, seconds: float) -> None:
        self.limit, self.seconds = limit, seconds
        super().__init__(f"the timeout of {seconds:g} s has passed")


@contextmanager
def limit(seconds: float, left: float | None = None) -> Iterator[object]:
    """Raise :class:`TimedOut` in the block after so many seconds, or after those that are left of them. Limits lie in each other, and in a limit of Airflow's; outside of the main
    thread, where no signal arrives, there is none.

    :returns: what the error of this limit has as ``limit``.
    """
    me, left = object(), seconds if left is None else left
    if threading.current_thread() is not threading.main_thread():
        yield me
        return
    before, began = signal.getsignal(signal.SIGALRM), time.monotonic()
    around = signal.getitimer(signal.ITIMER_REAL)[0]
    if around and around <= left:  # what is around ends it sooner
        yield me
        return
    signal.signal(signal.SIGALRM, lambda _, frame: _alarm(me, seconds, frame))
    signal.setitimer(signal.ITIMER_REAL, max(left, _SOON))
    try:
        yield me
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if around:
            signal.setitimer(signal.ITIMER_REAL, max(around - (time.monotonic() - began), _SOON))


def _alarm(me: object, seconds: float, frame: FrameType | None) -> None:
    """Not while the task talks to its supervisor: half a question would spoil the next answer."""
    if _talks(frame):
        signal.setitimer(signal.ITIMER_REAL, _SOON)
        return
    raise TimedOut(me, seconds)


def _talks(frame: Any) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == _TALKS:
            return True
        frame = frame.f_back
    return False
