"""How a wait is paced and a log is followed, alike for waiting tasks and triggers. Nothing here waits."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_ml_provider.core.backend import Backend
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.polling import backoff

JOB_KEY = "job"
"""The XCom that names a task's job while it waits."""
_CHEAP = 2.0
_FIRST = 0.1
_PAGES_AT_ONCE = 50


@dataclass(slots=True)
class Pace:
    """Seconds until the next look. Where looks are cheap the first ones come quickly, so that a short job costs no interval."""

    interval: float
    looks: int = 0
    faults: int = 0

    def seconds(self) -> float:
        """Until the next look."""
        if self.faults or self.interval > _CHEAP:
            return backoff(self.interval, self.faults)
        return min(self.interval, _FIRST * 1.5 ** min(self.looks, 20))

    def seen(self) -> None:
        """The look was answered."""
        self.looks += 1
        self.faults = 0

    def failed(self) -> None:
        """The look met a passing fault."""
        self.faults += 1


@dataclass(slots=True)
class LogTail:
    """A place in the driver's log of a job.

    :param cursor: where it stands, to be kept between processes.
    """

    backend: Backend
    handle: Handle
    cursor: str | None = None

    def read(self) -> list[str]:
        """The lines since the last reading."""
        lines: list[str] = []
        for _ in range(_PAGES_AT_ONCE):
            page = self.backend.logs(self.handle.cluster, self.handle.job or "", after=self.cursor)
            self.cursor = page.cursor or self.cursor
            lines += page.lines
            if not page.lines:
                break
        return lines
