"""Data Factory's triggers as timetables: recurrences that no cron says, and tumbling windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable

from airflow_ml_provider.adf.triggers.recurrence import Recurrence
from airflow_ml_provider.adf.triggers.windows import Wait, Windows

_TICK = timedelta(microseconds=1)
_GRACE = timedelta(minutes=2)
"""How long ago a DAG's first moment may be: its file may be parsed again before the scheduler has made the run."""


class RecurrenceTimetable(Timetable):
    """A run at each moment of each recurrence.

    Runs of one moment differ in their logical date: the recurrence's place in the list is its microseconds. The first run is that of the
    next moment, so that nothing starts as the DAG is unpaused. After it, as with Airflow's own timetables without catchup, moments that
    nobody was there for give one run of each recurrence, that of the last.
    """

    def __init__(self, recurrences: Sequence[Recurrence]) -> None:
        self.recurrences = tuple(recurrences)
        self.description = "; ".join(map(str, self.recurrences))

    @property
    def summary(self) -> str:
        return self.description

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        first = (restriction.earliest or min(one.start for one in self.recurrences)) - _TICK
        last = max(first, last_automated_data_interval.start) if last_automated_data_interval else first
        now = None if restriction.catchup else datetime.now(tz=UTC)
        if now and not last_automated_data_interval:
            last = max(last, now - _GRACE)
        found = min(self._next(last, now if last_automated_data_interval else None), default=None)
        if found is None or (restriction.latest and found > restriction.latest):
            return None
        return DagRunInfo.exact(pendulum.instance(found))

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        return DataInterval.exact(run_after)

    def serialize(self) -> dict[str, Any]:
        return {"recurrences": [_plain(one) for one in self.recurrences]}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> RecurrenceTimetable:
        return cls([_recurrence(one) for one in data["recurrences"]])

    def _next(self, last: datetime, now: datetime | None) -> Iterator[datetime]:
        """The next logical date of each recurrence; where ``now`` is given, none before its last moment."""
        for place, one in enumerate(self.recurrences):
            tick = _TICK * place
            if found := one.after(last - tick):
                missed = one.before(now) if now else None
                yield max(found, missed or found) + tick


_SPANS = ("delay", "pause")


class WindowTimetable(Timetable):
    """A run for each window, its data interval; ``delay`` after the window's end.

    The first window is that of ``since``; where nobody has said when to begin, the one that is open as the DAG is unpaused. All windows
    after a DAG's first run are handled, also those that nobody was there for.
    """

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self.description = str(windows)

    @property
    def summary(self) -> str:
        return self.description

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        windows = self.windows
        number = self._first if last_automated_data_interval is None else windows.number(last_automated_data_interval.start) + 1
        if restriction.earliest:
            number = max(number, windows.number(restriction.earliest - _TICK) + 1)
        if not restriction.catchup:
            number = max(number, windows.number(datetime.now(tz=UTC) - windows.delay) - 1)
        found = windows.window(number)
        if found is None or (restriction.latest and found.start > restriction.latest):
            return None
        info = DagRunInfo.interval(pendulum.instance(found.start), pendulum.instance(found.end))
        return info._replace(run_after=info.run_after + windows.delay)  # 3.2 asks its constructor for more than others take

    @property
    def _first(self) -> int:
        """The number of the window of the first run."""
        windows = self.windows
        if windows.since is not None:
            return windows.first
        return max(windows.number(datetime.now(tz=UTC) - windows.delay - _GRACE), 0)

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        """The last window that has ended; before that of the first window, the first."""
        found = self.windows.window(max(self.windows.number(run_after) - 1, 0))
        return DataInterval(*map(pendulum.instance, found)) if found else DataInterval.exact(run_after)

    def serialize(self) -> dict[str, Any]:
        windows = self.windows
        waits = [[wait.trigger, wait.offset.total_seconds(), wait.size and wait.size.total_seconds()] for wait in windows.waits]
        spans = {name: getattr(windows, name).total_seconds() for name in _SPANS}
        return {**_plain(windows), **spans, "waits": waits}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> WindowTimetable:
        waits = tuple(
            Wait(name, timedelta(seconds=offset), None if size is None else timedelta(seconds=size))
            for name, offset, size in data["waits"]
        )
        spans = {name: timedelta(seconds=data[name]) for name in _SPANS if name in data}
        return cls(Windows(**{**_times(data), **spans, "waits": waits}))


def _recurrence(data: Mapping[str, Any]) -> Recurrence:
    found = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    zone = ZoneInfo(data["zone"])
    times = {**_times(found), "zone": zone, "occurrences": tuple(map(tuple, data["occurrences"]))}
    return Recurrence(**{**times, "start": times["start"].astimezone(zone)})


def _plain(found: Recurrence | Windows) -> dict[str, Any]:
    """The fields as JSON has them."""
    written = {field.name: getattr(found, field.name) for field in fields(found)}
    return {
        key: value.isoformat() if isinstance(value, datetime) else value.key if isinstance(value, ZoneInfo) else value
        for key, value in written.items()
    }


def _times(data: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, **{key: datetime.fromisoformat(data[key]) for key in ("start", "end", "since") if data.get(key)}}
