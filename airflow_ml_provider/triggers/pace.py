"""How a wait is paced, alike for waiting tasks and triggers. Nothing here waits."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_ml_provider.core.polling import backoff

JOB_KEY = "job"
"""The XCom that names a task's job while it waits."""
_CHEAP = 2.0
_FIRST = 0.1


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
