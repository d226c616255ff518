"""Dates as .NET holds and reads them: ticks of 100 nanoseconds since the year 1, with or without a zone."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

SECOND, DAY = 10**7, 864 * 10**9
"""Ticks."""
LATEST = date.max.toordinal() * DAY - 1
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

_FRACTION = r"(?:\.(?P<fraction>\d+))?"
_ZONE = r"(?P<zone>Z|GMT|[+-]\d{1,2}(?::?\d{2})?)?"
_ISO = re.compile(
    rf"(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d)(?:T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d){_FRACTION})?\s*{_ZONE})?",
    re.ASCII | re.IGNORECASE,
)
_TIME = re.compile(
    rf"(?:^|(?<=\s))(?P<hour>\d{{1,2}}):(?P<minute>\d{{1,2}})(?::(?P<second>\d{{1,2}}){_FRACTION})?\s*(?P<half>[AP]M?\b)?\s*{_ZONE}$",
    re.ASCII | re.IGNORECASE,
)
_HOUR = re.compile(rf"(?:^|(?<=\s))(?P<hour>\d{{1,2}})\s*(?P<half>[AP]M)\s*{_ZONE}$", re.ASCII | re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}|[A-Za-z]+", re.ASCII)
_BETWEEN = re.compile(r"[\s,./-]*")
_LONGEST = 80
_CENTURY = 30
"""Years of two digits below it are of this century."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of time.

    :param kind: ``Z`` for UTC; ``local`` for what was written with an offset, which is UTC too; empty for no zone.
    """

    ticks: int
    kind: str = ""

    @property
    def day(self) -> date:
        return date.fromordinal(self.ticks // DAY + 1)

    @property
    def time(self) -> tuple[int, int, int, int]:
        """Hours, minutes, seconds and ticks."""
        seconds, rest = divmod(self.ticks % DAY, SECOND)
        return seconds // 3600, seconds // 60 % 60, seconds % 60, rest

    def plus(self, ticks: int) -> Moment:
        """:raises OverflowError: before the year 1, after the year 9999."""
        if not 0 <= self.ticks + ticks <= LATEST:
            raise OverflowError("a date before the year 1 or after the year 9999")
        return replace(self, ticks=self.ticks + ticks)

    def plus_months(self, months: int) -> Moment:
        """The same day of another month, or its last day."""
        if abs(months) > 12 * 10_000:
            raise OverflowError("a date before the year 1 or after the year 9999")
        year, month = divmod(self.day.year * 12 + self.day.month - 1 + months, 12)
        if not 1 <= year <= 9999:
            raise OverflowError("a date before the year 1 or after the year 9999")
        there = _day_of(year, month + 1, self.day.day)
        return replace(self, ticks=(there.toordinal() - 1) * DAY + self.ticks % DAY)

    def wall(self) -> datetime:
        """Without its zone, to the microsecond."""
        return datetime(1, 1, 1) + timedelta(microseconds=self.ticks // 10)  # noqa: DTZ001


def now() -> Moment:
    """This moment, in UTC."""
    since = datetime.now(UTC).replace(tzinfo=None) - datetime(1, 1, 1)  # noqa: DTZ001
    return Moment((since.days * 86400 + since.seconds) * SECOND + since.microseconds * 10, "Z")


def _day_of(year: int, month: int, day: int) -> date:
    for last in range(day, 27, -1):
        try:
            return date(year, month, last)
        except ValueError:
            continue
    return date(year, month, day)


def read(text: str) -> Moment:
    """The moment in a text: ISO 8601, or what .NET reads beside it, the month before the day.

    :raises ValueError: there is none.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST or text[0] in "+-./":
        raise ValueError("no date")
    if match := _ISO.fullmatch(text):
        parts = match.groupdict()
        day = date(*(int(parts[name]) for name in ("year", "month", "day")))
        return _moment(day, parts)
    time = _TIME.search(text) or _HOUR.search(text)
    before = text[: time.start()] if time else text
    if not before and not time:
        raise ValueError("no date")
    return _moment(_loose_date(before) if before.strip() else now().day, time.groupdict() if time else {})


def _moment(day: date, parts: dict[str, str | None]) -> Moment:
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    if half := parts.get("half"):
        if not 1 <= hour <= 12:
            raise ValueError("no time")
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("no time")
    fraction = (parts.get("fraction") or "0")[:20]
    ticks = (int(fraction) * SECOND * 2 + 10 ** len(fraction)) // (2 * 10 ** len(fraction))
    moment = Moment((day.toordinal() - 1) * DAY + (hour * 3600 + minute * 60 + second) * SECOND + ticks)
    zone = (parts.get("zone") or "").upper()
    if zone in ("Z", "GMT"):
        return replace(moment, kind="Z")
    return replace(moment.plus(-_offset(zone)), kind="local") if zone else moment


def _offset(zone: str) -> int:
    digits = zone[1:].replace(":", "")
    hours, minutes = (int(digits[:-2]), int(digits[-2:])) if len(digits) > 2 else (int(digits), 0)
    if hours > 14 or minutes > 59:
        raise ValueError("no zone")
    return (hours * 60 + minutes) * 60 * SECOND * (-1 if zone[0] == "-" else 1)


def _loose_date(text: str) -> date:
    """A date as people write it. Nothing but words, numbers and what separates them."""
    if _BETWEEN.fullmatch(_DATE.sub("", text)) is None:
        raise ValueError("no date")
    words = [word for word in _DATE.findall(text) if not word.isdigit()]
    numbers = [word for word in _DATE.findall(text) if word.isdigit()]
    months = [month for word in words if (month := _named(word, MONTHS))]
    weekdays = [day for word in words if (day := _named(word, DAYS))]
    if len(months) + len(weekdays) != len(words) or len(months) > 1 or len(weekdays) > 1:
        raise ValueError("no date")
    found = _with_month(months[0], numbers) if months else _without_month(numbers)
    if weekdays and found.isoweekday() != weekdays[0]:
        raise ValueError("another day of the week")
    return found


def _named(word: str, names: list[str]) -> int:
    """The place, from 1, of a name written whole or in three letters; 0 for none."""
    small = word.casefold()
    return next((place for place, name in enumerate(names, 1) if small in (name.casefold(), name[:3].casefold())), 0)


def _with_month(month: int, numbers: list[str]) -> date:
    if len(numbers) == 1:
        return date(int(numbers[0]), month, 1) if len(numbers[0]) > 2 else date(now().day.year, month, int(numbers[0]))
    day, year = numbers if len(numbers[0]) <= 2 else reversed(numbers)
    return date(_year(year), month, int(day))


def _without_month(numbers: list[str]) -> date:
    if len(numbers) == 2:
        one, other = numbers
        if len(one) == 4:
            return date(int(one), int(other), 1)
        return date(int(other), int(one), 1) if len(other) == 4 else date(now().day.year, int(one), int(other))
    year, month, day = numbers if len(numbers[0]) == 4 else (numbers[2], numbers[0], numbers[1])
    return date(_year(year), int(month), int(day))


def _year(text: str) -> int:
    year = int(text)
    return year if len(text) > 2 else year + (2000 if year < _CENTURY else 1900)
