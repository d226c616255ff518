"""When a ScheduleTrigger fires: any recurrence that Data Factory knows, as moments."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
"""Days of the week by their number here; weeks begin on a Sunday."""
UNITS = ("minute", "hour", "day", "week", "month")

_TICK = timedelta(microseconds=1)
_STEPS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
_MINUTES_OF_WEEK = 7 * 24 * 60
_MONTHS_OF_CYCLE = 400 * 12
"""The calendar repeats itself after 400 years."""


@dataclass(frozen=True)
class Recurrence:
    """Moments from ``start`` to ``end``, both included, each to the second.

    Every ``interval`` periods of a unit, counted from the one that ``start`` is in, the plan says which times of the period: its
    ``minutes``, ``hours`` and days widen what the unit leaves open, and narrow what it gives. Without hours, minutes count for every
    hour; without both, it is the time of ``start``. Of a month without days it is the day of ``start``; a month that lacks the day has
    none.

    Days, weeks and months go by the clock on the wall: a time that the zone leaves out is an hour later, one that it has twice is the
    first. Minutes and hours are even steps of time, whatever the clock does.

    :param start: in ``zone``.
    :param since: moments before it do not count here.
    :param week_days: numbers in :data:`DAYS`.
    :param month_days: 1 to 31, or -1 (the last) to -31.
    :param occurrences: pairs of a day of the week and which one of the month it is: 1 to 5, -1 (the last) to -5, 0 for each.
    """

    unit: str
    interval: int
    start: datetime
    zone: ZoneInfo
    end: datetime | None = None
    minutes: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()
    week_days: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    occurrences: tuple[tuple[int, int], ...] = ()
    since: datetime | None = None

    def after(self, moment: datetime) -> datetime | None:
        """The first moment later than this one, in UTC; None when there is none."""
        moment = plain(moment)
        if self.since is not None:
            moment = max(moment, self.since - _TICK)
        first = max(self._period(moment) - 1, 0)
        for period in range(first, first + self._cycle):
            # a time that the zone leaves out may have moved into the next period
            if found := [one for near in (period, period + 1) for one in self._moments(near) if one > moment]:
                return min(found)
            if self._is_over(period):
                break
        return None

    def before(self, moment: datetime) -> datetime | None:
        """The last moment that is not later than this one, in UTC; None when there is none."""
        moment = plain(moment)
        if self.since is not None and moment < self.since:
            return None
        if self.end is not None:  # long after it, no period of a whole cycle has a moment
            moment = min(moment, plain(self.end))
        newest = self._period(moment) + 1
        for period in range(newest, max(newest - self._cycle, -1), -1):
            if found := [one for near in (period, period - 1) for one in self._moments(near) if one <= moment]:
                return max(found)
        return None

    def __str__(self) -> str:
        every = self.unit if self.interval == 1 else f"{self.interval} {self.unit}s"
        plan = {
            "on": [DAYS[day].title() for day in self.week_days] + [f"day {day}" for day in self.month_days],
            "on the": [f"{DAYS[day].title()} {number}" for day, number in self.occurrences],
            "at hour": self.hours,
            "at minute": self.minutes,
        }
        told = [f"{word} {', '.join(map(str, values))}" for word, values in plan.items() if values]
        return " ".join([f"every {every}", *told, f"from {self.start:%Y-%m-%d %H:%M} {self.zone.key}"])

    @property
    def _cycle(self) -> int:
        """Periods after which a plan that gave no moment gives none at all.

        Steps of minutes and hours meet every time of the week that they meet at all within as many steps as a week has minutes; twice that
        covers both of a zone's offsets, which move the hours that long steps fall on.
        """
        if self.unit == "month":
            return _MONTHS_OF_CYCLE // self.interval + 2
        return 2 * _MINUTES_OF_WEEK if self.unit in _STEPS else 2 * 7 + 2

    def _is_over(self, period: int) -> bool:
        """Whether no moment comes after a period: it is beyond the end, or beyond the calendar."""
        try:
            begin = self._step(period).date() if self.unit in _STEPS else next(self._dates(period))
        except (OverflowError, ValueError):
            return True
        return self.end is not None and begin > self.end.astimezone(self.zone).date() + timedelta(days=1)

    def _period(self, moment: datetime) -> int:
        """The number of the period that a moment is in; that of ``start`` is 0."""
        if self.unit in _STEPS:
            return (moment - self.start) // (_STEPS[self.unit] * self.interval)
        day, first = moment.astimezone(self.zone).date(), self.start.date()
        if self.unit == "month":
            return (_months(day) - _months(first)) // self.interval
        days = 1 if self.unit == "day" else 7
        return (day - self._first_day()).days // (days * self.interval)

    def _first_day(self) -> date:
        first = self.start.date()
        return first - timedelta(days=first.isoweekday() % 7) if self.unit == "week" else first

    def _moments(self, period: int) -> Iterator[datetime]:
        """The moments of a period, in no order; none beyond what a calendar has."""
        try:
            found = set(self._stepped(period) if self.unit in _STEPS else self._planned(period)) if period >= 0 else set()
        except (OverflowError, ValueError):
            return
        first = self.start if self.since is None else max(self.start, self.since)
        yield from (one for one in found if one >= first and (self.end is None or one <= self.end))

    def _step(self, period: int) -> datetime:
        return self.start.astimezone(UTC) + _STEPS[self.unit] * self.interval * period

    def _stepped(self, period: int) -> Iterator[datetime]:
        moment = self._step(period)
        for one in self._minutes_of_hour(moment) if self.minutes and self.unit == "hour" else [moment]:
            local = one.astimezone(self.zone)
            fits = not self.minutes or local.minute in self.minutes
            if fits and (not self.hours or local.hour in self.hours) and self._is_day(local.date()):
                yield one

    def _minutes_of_hour(self, moment: datetime) -> Iterator[datetime]:
        local = moment.astimezone(self.zone)
        hour = moment - timedelta(minutes=local.minute, seconds=local.second)
        yield from (hour + timedelta(minutes=minute) for minute in self.minutes)

    def _planned(self, period: int) -> Iterator[datetime]:
        hours = self.hours or (range(24) if self.minutes else (self.start.hour,))
        minutes, second = (self.minutes, 0) if self.minutes else ((self.start.minute,), self.start.second)
        for day in self._dates(period):
            if self._is_day(day):
                yield from (self._moment(day, hour, minute, second) for hour in hours for minute in minutes)

    def _moment(self, day: date, hour: int, minute: int, second: int) -> datetime:
        return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=self.zone).astimezone(UTC)

    def _dates(self, period: int) -> Iterator[date]:
        if self.unit == "month":
            year, month = divmod(_months(self.start.date()) + period * self.interval, 12)
            yield from (date(year, month + 1, day + 1) for day in range(monthrange(year, month + 1)[1]))
            return
        first = self._first_day() + timedelta(days=period * self.interval * (7 if self.unit == "week" else 1))
        yield from (first + timedelta(days=number) for number in range(7 if self.unit == "week" else 1))

    def _is_day(self, day: date) -> bool:
        if self.unit == "month":
            return self._is_day_of_month(day)
        days = self.week_days or ((self.start.isoweekday() % 7,) if self.unit == "week" else ())
        return not days or day.isoweekday() % 7 in days

    def _is_day_of_month(self, day: date) -> bool:
        length = monthrange(day.year, day.month)[1]
        if self.occurrences:
            numbers = {0, (day.day - 1) // 7 + 1, -((length - day.day) // 7 + 1)}
            return any(wanted == day.isoweekday() % 7 and number in numbers for wanted, number in self.occurrences)
        return bool({day.day, day.day - length - 1} & set(self.month_days or (self.start.day,)))


def plain(moment: datetime) -> datetime:
    """A moment in UTC, of the standard library's own class: subclasses, such as pendulum's, calculate in ways of their own."""
    return datetime.fromisoformat(moment.isoformat()).astimezone(UTC)


def _months(day: date) -> int:
    return day.year * 12 + day.month - 1
