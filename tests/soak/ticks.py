"""A trigger that measures how long its triggerer's event loop keeps it waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

INTERVAL = 0.05
"""Seconds from one tick to the next."""


class Ticks(BaseTrigger):
    """Ticks until the file ``stop`` is in the folder, after it has made the file ``ticking``.

    The event is a mapping: ``ticks``, their number, and ``longest``, the longest time from one to the next in seconds.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "tests.soak.ticks.Ticks", {"folder": self.folder}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        folder = Path(self.folder)
        (folder / "ticking").touch()
        ticks, longest, last = 0, 0.0, time.monotonic()
        while not (folder / "stop").exists():
            await asyncio.sleep(INTERVAL)
            now = time.monotonic()
            ticks, longest, last = ticks + 1, max(longest, now - last), now
        yield TriggerEvent({"ticks": ticks, "longest": longest})


class TicksOperator(BaseOperator):
    """Defers to :class:`Ticks`, and returns its event."""

    template_fields = ("folder",)

    def __init__(self, folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = folder

    def execute(self, context: Any) -> None:
        self.defer(trigger=Ticks(self.folder), method_name="execute_complete")

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        return event
