"""Recurrences and windows against models that try every minute."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ml_provider.adf.triggers.recurrence import Recurrence
from airflow_ml_provider.adf.triggers.windows import Span, Wait, Windows

ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Asuncion")]
TICK = timedelta(microseconds=1)
DAYS = {"minute": 2, "hour": 5, "day": 20, "week": 50, "month": 150}


def sunday(day: date) -> date:
    return day - timedelta(days=(day.weekday() + 1) % 7)


def days_of_month(day: date, one: Recurrence) -> set[date]:
    month = [date(day.year, day.month, number + 1) for number in range(monthrange(day.year, day.month)[1])]
    if not one.occurrences:
        numbers = one.month_days or (one.start.day,)
        return {month[n - 1 if n > 0 else n] for n in numbers if -len(month) <= n <= len(month)}
    found: set[date] = set()
    for wanted, n in one.occurrences:
        same = [each for each in month if (each.weekday() + 1) % 7 == wanted]
        found |= set(same) if n == 0 else {same[n - 1 if n > 0 else n]} if -len(same) <= n <= len(same) else set()
    return found


def is_day(day: date, one: Recurrence) -> bool:
    first, number = one.start.date(), (day.weekday() + 1) % 7
    if one.unit == "day":
        return (day - first).days % one.interval == 0 and (not one.week_days or number in one.week_days)
    if one.unit == "week":
        wanted = one.week_days or ((first.weekday() + 1) % 7,)
        return (sunday(day) - sunday(first)).days // 7 % one.interval == 0 and number in wanted
    months = (day.year - first.year) * 12 + day.month - first.month
    return months % one.interval == 0 and day in days_of_month(day, one)


def by_the_clock(one: Recurrence, days: int) -> set[datetime]:
    found: set[datetime] = set()
    for day in (one.start.date() + timedelta(days=number) for number in range(days + 2)):
        for hour in range(24) if is_day(day, one) else ():
            for minute in range(60):
                in_hours = hour in one.hours if one.hours else (one.minutes or hour == one.start.hour)
                in_minutes = minute in one.minutes if one.minutes else minute == one.start.minute
                if in_hours and in_minutes:
                    found.add(datetime(day.year, day.month, day.day, hour, minute, tzinfo=one.zone).astimezone(UTC))
    return found


def by_steps(one: Recurrence, days: int) -> set[datetime]:
    found: set[datetime] = set()
    start = one.start.astimezone(UTC)
    for number in range(-60, days * 1440):
        moment = start + timedelta(minutes=number)
        local = moment.astimezone(one.zone)
        if one.unit == "hour" and one.minutes:
            moved = moment + timedelta(minutes=one.start.minute - local.minute)
            on_step = (moved - start) % timedelta(hours=one.interval) == timedelta() and local.minute in one.minutes
        else:
            on_step = (moment - start) % timedelta(**{f"{one.unit}s": one.interval}) == timedelta()
        fits = not one.minutes or local.minute in one.minutes
        if on_step and fits and (not one.hours or local.hour in one.hours):
            found.add(moment)
    return found


@st.composite
def recurrences(draw: st.DrawFn) -> Recurrence:
    unit = draw(st.sampled_from(list(DAYS)))
    zone = draw(st.sampled_from(ZONES if unit != "hour" else [zone for zone in ZONES if "Howe" not in zone.key]))
    around = draw(
        st.sampled_from([datetime(2024, 3, 8, tzinfo=UTC), datetime(2024, 3, 29, tzinfo=UTC), datetime(2023, 12, 30, tzinfo=UTC)])
    )
    start = (around + timedelta(minutes=draw(st.integers(0, 5 * 1440)))).replace(tzinfo=zone)
    start = start.astimezone(UTC).astimezone(zone)
    plan: dict[str, Any] = {
        "minutes": tuple(draw(st.sets(st.integers(0, 59), max_size=3))),
        "hours": tuple(draw(st.sets(st.integers(0, 23), max_size=4))),
    }
    if unit in ("day", "week"):
        plan["week_days"] = tuple(draw(st.sets(st.integers(0, 6), max_size=3)))
    if unit == "month":
        days = st.integers(-31, 31).filter(bool)
        of_week = st.tuples(st.integers(0, 6), st.integers(-5, 5))
        key, values = draw(st.sampled_from([("month_days", days), ("occurrences", of_week)]))
        plan[key] = tuple(draw(st.sets(values, max_size=3)))
    end = draw(st.one_of(st.none(), st.integers(0, 40).map(lambda days: start + timedelta(days=days))))
    return Recurrence(unit, draw(st.integers(1, 50 if unit in ("minute", "hour") else 4)), start, zone, end=end, **plan)


@settings(max_examples=60, deadline=None, database=None)
@given(recurrences(), st.integers(-1440, 60 * 1440))
def test_any_recurrence_fires_when_its_model_does(one: Recurrence, minutes: int) -> None:
    days = DAYS[one.unit]
    until = one.start.astimezone(UTC) + timedelta(days=days - 1)
    model = by_steps(one, days) if one.unit in ("minute", "hour") else by_the_clock(one, days)
    expected = sorted(at for at in model if one.start <= at < until and (one.end is None or at <= one.end))
    found: list[datetime] = []
    moment: datetime | None = one.start - timedelta(days=400)
    while (moment := one.after(moment or one.start)) and moment < until:
        found.append(moment)
    assert found == expected
    middle = min(one.start + timedelta(minutes=minutes), until - TICK)
    assert one.before(middle) == max((at for at in expected if at <= middle), default=None)


@pytest.mark.parametrize(
    ("unit", "plan", "local"),
    [
        ("day", {"hours": (2,), "minutes": (30,)}, ["2024-03-30 02:30", "2024-03-31 03:30", "2024-04-01 02:30"]),
        ("hour", {}, ["2024-03-30 12:00", "2024-03-30 13:00"]),
        ("week", {"week_days": (1, 5)}, ["2024-04-01 12:00", "2024-04-05 12:00", "2024-04-08 12:00"]),
        ("month", {"month_days": (31, -1)}, ["2024-03-31 12:00", "2024-04-30 12:00", "2024-05-31 12:00"]),
        ("month", {"occurrences": ((5, 5),)}, ["2024-05-31 12:00", "2024-08-30 12:00"]),
        ("month", {"occurrences": ((5, -3),), "hours": (17,)}, ["2024-04-12 17:00", "2024-05-17 17:00"]),
        ("month", {}, ["2024-03-30 12:00", "2024-04-30 12:00"]),
    ],
)
def test_the_documents_examples(unit: str, plan: dict[str, Any], local: list[str]) -> None:
    zone = ZoneInfo("Europe/Berlin")
    one = Recurrence(unit, 1, datetime(2024, 3, 30, 12 if unit != "day" else 0, tzinfo=zone), zone, **plan)
    moment, found = one.start - TICK, []
    for _ in local:
        moment = one.after(moment) or moment
        found.append(f"{moment.astimezone(zone):%Y-%m-%d %H:%M}")
    assert found == local


def test_the_last_moment_is_known_long_after_the_end() -> None:
    start = datetime(2024, 3, 8, tzinfo=UTC)
    one = Recurrence("day", 1, start, ZoneInfo("UTC"), end=start)
    assert [one.before(start + timedelta(days=days)) for days in (-1, 0, 16, 4000)] == [None, start, start, start]


def test_what_never_comes_has_an_end() -> None:
    start = datetime(2023, 2, 1, tzinfo=UTC)
    never = Recurrence("month", 12, start, ZoneInfo("UTC"), month_days=(30,))
    assert never.after(start) is None
    assert never.before(start) is None
    leap = Recurrence("month", 12, start, ZoneInfo("UTC"), month_days=(29,))
    assert [leap.after(start), leap.after(datetime(2097, 1, 1, tzinfo=UTC))] == [
        *(datetime(year, 2, 29, tzinfo=UTC) for year in (2024, 2104))
    ]


@settings(max_examples=60, deadline=None, database=None)
@given(st.sampled_from(["minute", "hour", "month"]), st.integers(1, 30), st.integers(0, 500_000), st.integers(0, 2_000_000))
def test_windows_have_no_gap_and_each_moment_is_in_its_own(unit: str, every: int, first: int, later: int) -> None:
    start = datetime(2023, 1, 31, tzinfo=UTC) + timedelta(minutes=first)
    windows = Windows(start, unit, every)
    moment = start + timedelta(minutes=later)
    number = windows.number(moment)
    found, following = windows.window(number), windows.window(number + 1)
    assert found and following and found.start <= moment < found.end == following.start
    assert windows.number(start - TICK) == -1 and windows.window(-1) is None
    assert list(windows.overlapping(Span(found.start, following.end))) == [found, following]


def test_the_last_window_ends_at_the_end_and_months_keep_their_last_day() -> None:
    windows = Windows(datetime(2024, 1, 31, tzinfo=UTC), "month", 1, end=datetime(2024, 5, 1, tzinfo=UTC))
    edges = [(found.start.day, found.end.day) for number in range(4) if (found := windows.window(number))]
    assert edges == [(31, 29), (29, 31), (31, 30)]


def test_a_dependency_is_a_span_of_the_other_triggers_windows() -> None:
    day = Windows(datetime(2024, 1, 1, tzinfo=UTC), "hour", 24)
    hours = Windows(datetime(2024, 1, 1, 12, tzinfo=UTC), "hour", 1)
    second = day.window(1)
    assert second is not None
    assert len(list(hours.overlapping(Wait("hours", timedelta(), None).span(second)))) == 24
    assert len(list(hours.overlapping(Wait("hours", timedelta(days=-1), None).span(second)))) == 12
    assert len(list(hours.overlapping(Wait("hours", timedelta(hours=-2), timedelta(hours=3)).span(second)))) == 3
