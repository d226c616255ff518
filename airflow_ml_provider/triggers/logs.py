"""Copies of drivers' logs into tasks' logs: in parts, and best effort.

A job may print faster than its log can be copied, and its log may be denied or corrupt. Neither may delay or fail the job's task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_ml_provider.core.backend import Backend
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.state import LogPage
from airflow_ml_provider.triggers.threads import Lane

LINES_A_LOOK = 5_000
"""About how many lines are copied after one look at a running job."""
LINES_AT_END = 100_000
"""About how many lines are copied once the job has ended."""
_LINES_A_RECORD = 100
_CHARACTERS_A_RECORD = 16_384
_LINES_IN_ERROR = 20
_PAGES_IN_ERROR = 64
_NOTHING = LogPage()


@dataclass(slots=True)
class LogTail:
    """A position in the driver's log of a job, from where the log is copied.

    The first fault is a warning in the task's log; no fault is raised.

    :param log: the task's.
    :param cursor: the position, which another process can go on from.
    """

    backend: Backend
    handle: Handle
    log: Any
    cursor: str | None = None
    _last: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES_IN_ERROR), init=False)
    _has_warned: bool = field(default=False, init=False)

    def copy_page(self) -> int:
        """Copy the next page; how many lines it had. Blocks."""
        page = self._page(self.cursor)
        for text in records(page.lines):
            self.log.info("%s", text)
        self._last.extend(page.lines[-_LINES_IN_ERROR:])
        self.cursor = page.cursor or self.cursor
        return len(page.lines)

    def copy(self, most: int = LINES_A_LOOK) -> bool:
        """Copy what has come, about ``most`` lines of it; True when there may be more. Blocks."""
        while most > 0:
            lines = self.copy_page()
            if not lines:
                return False
            most -= lines
        return True

    def copy_rest(self) -> None:
        """Copy what is left of an ended job's log. Of a very long rest it copies the first part, and says so."""
        if self.copy(LINES_AT_END) and self._page(self.cursor).lines:
            self.log.warning("The driver's log goes on after these %d lines: read the rest at the service", LINES_AT_END)

    def last_lines(self) -> list[str]:
        """The last lines of an ended job's log; an earlier process may have copied them."""
        found, cursor = deque[str](maxlen=_LINES_IN_ERROR), None
        if len(self._last) == _LINES_IN_ERROR:
            return list(self._last)
        for _ in range(_PAGES_IN_ERROR):
            page = self._page(cursor)
            if not page.lines:
                return list(found)
            found.extend(page.lines)
            cursor = page.cursor
        return list(self._last)

    def _page(self, after: str | None) -> LogPage:
        try:
            return self.backend.logs(self.handle.cluster, self.handle.job or "", after=after)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a log, its job goes on
            if not self._has_warned:
                self.log.warning(
                    "The driver's log cannot be read, and the job goes on without: %s: %s", type(error).__name__, error
                )
            self._has_warned = True
            return _NOTHING


def records(lines: Sequence[str]) -> Iterator[str]:
    """The lines as few log records: each record costs Airflow's supervisors about a millisecond."""
    record: list[str] = []
    size = 0
    for line in lines:
        if record and (len(record) == _LINES_A_RECORD or size + len(line) > _CHARACTERS_A_RECORD):
            yield "\n".join(record)
            record, size = [], 0
        record.append(line)
        size += len(line)
    if record:
        yield "\n".join(record)


@dataclass(eq=False)
class LogCopy:
    """A log that is copied beside an event loop, one page at a time.

    :param lane: where the pages are read and written: not that of the looks, which must not wait for logs.
    """

    tail: LogTail
    lane: Lane
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    async def go_on(self, seconds: float) -> None:
        """Copy what has come. A copy that takes longer than ``seconds`` goes on by itself, and the next call waits for it."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._copy())
        done, _ = await asyncio.wait({self._task}, timeout=seconds)
        if done:
            self._task = None

    def stop(self) -> None:
        """Copy no further page."""
        if self._task:
            self._task.cancel()

    async def _copy(self) -> None:
        left = LINES_A_LOOK
        while left > 0 and (lines := await self.lane.run(self.tail.copy_page, within=float("inf"))):
            left -= lines
