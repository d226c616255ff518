"""Tumbling windows: time cut into pieces without a gap, each of which a pipeline handles once."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from airflow_ml_provider.adf.triggers.recurrence import plain

_TICK = timedelta(microseconds=1)
UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}


class Span(NamedTuple):
    """From ``start``, included, to ``end``, not included."""

    start: datetime
    end: datetime


class Wait(NamedTuple):
    """A window waits for windows of a trigger.

    :param trigger: its name; empty for windows of the same trigger.
    :param offset: from the window's own start to that of the span that must be done.
    :param size: of that span; None for the length of the window.
    """

    trigger: str
    offset: timedelta
    size: timedelta | None

    def span(self, window: Span) -> Span:
        """What must be done before a window is handled."""
        start = window.start + self.offset
        return Span(start, start + (self.size or window.end - window.start))


@dataclass(frozen=True)
class Windows:
    """Windows of ``every`` minutes, hours or months from ``start``; the last one ends at ``end`` at the latest.

    A month from the 31st ends on the last day of a shorter month.

    :param start: in UTC.
    :param delay: from a window's end until it is handled.
    :param at_once: how many may be handled at the same time.
    :param since: windows that begin earlier are not handled here, and count as done; None where nobody has said.
    :param retries: how many times the whole pipeline runs again for a window for which it failed, each ``pause`` after its end.
    """

    start: datetime
    unit: str
    every: int
    end: datetime | None = None
    delay: timedelta = timedelta()
    at_once: int = 50
    waits: tuple[Wait, ...] = ()
    retries: int = 0
    pause: timedelta = timedelta(seconds=30)
    since: datetime | None = None

    @property
    def first(self) -> int:
        """The number of the first window that is handled here."""
        return 0 if self.since is None else max(self.number(self.since - _TICK) + 1, 0)

    def due(self, now: datetime) -> int:
        """How many of the windows from the first one on are over, their delay included."""
        ended = self.number(now - self.delay)
        return max((ended if self.end is None else min(ended, self.number(self.end))) - self.first, 0)

    def window(self, number: int) -> Span | None:
        """The window of that number, from 0; None after the last."""
        try:
            found = Span(self._edge(number), self._edge(number + 1))
        except (OverflowError, ValueError):
            return None
        return None if number < 0 or (self.end is not None and found.end > self.end) else found

    def number(self, moment: datetime) -> int:
        """Of the window that a moment is in; negative before the first."""
        moment = plain(moment)
        if self.unit in UNITS:
            return (moment - self.start) // (UNITS[self.unit] * self.every)
        months = (moment.year - self.start.year) * 12 + moment.month - self.start.month
        number = months // self.every
        return number - (self._edge(number) > moment)

    def overlapping(self, span: Span) -> Iterator[Span]:
        """The windows from the first one on that share some time with a span."""
        number = max(self.number(span.start), self.first)
        while (found := self.window(number)) and found.start < span.end:
            yield found
            number += 1

    def __str__(self) -> str:
        after = f", {self.delay} after its end" if self.delay else ""
        return f"each window of {self.every} {self.unit}s from {self.start:%Y-%m-%d %H:%M} UTC{after}"

    def _edge(self, number: int) -> datetime:
        if self.unit in UNITS:
            return self.start + UNITS[self.unit] * self.every * number
        months = self.start.year * 12 + self.start.month - 1 + self.every * number
        year, month = months // 12, months % 12 + 1
        return self.start.replace(year=year, month=month, day=min(self.start.day, monthrange(year, month)[1]))
