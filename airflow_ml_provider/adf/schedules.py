"""Triggers as schedules: pure translations, exact or refused with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.functions.zones import iana
from airflow_ml_provider.adf.graph import Json, Resource
from airflow_ml_provider.adf.reading import pick
from airflow_ml_provider.core.errors import SpecError

_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_LAST = -1


@dataclass(frozen=True)
class Schedule:
    """When a pipeline runs: at the times of ``cron`` in ``timezone``, or once for each window of that length since ``start``.

    :param parameters: of the pipeline, as the trigger gives them; expressions over ``trigger()``.
    :param active: the trigger is started.
    """

    start: datetime
    end: datetime | None
    timezone: str
    cron: str = ""
    window: timedelta | None = None
    at_once: int | None = None
    parameters: Mapping[str, Json] | None = None
    active: bool = True


def schedule(trigger: Resource, pipeline: str) -> Schedule | None:
    """The schedule that a trigger gives to a pipeline; None when it does not start it.

    :raises SpecError: it starts it at times that no schedule of Airflow says exactly.
    """
    starts = _starts(trigger, pipeline)
    if starts is None:
        return None
    active = str(pick(trigger.properties, "runtimeState") or "Started").casefold() == "started"
    made = {"scheduletrigger": _recurring, "tumblingwindowtrigger": _tumbling}.get(trigger.type.casefold())
    if made is None:
        raise _refused(
            trigger, trigger.type, "takes a ScheduleTrigger or a TumblingWindowTrigger: start the DAG from an asset or the API"
        )
    return made(trigger, {"parameters": pick(starts, "parameters") or {}, "active": active})


def _starts(trigger: Resource, pipeline: str) -> Mapping[str, Json] | None:
    one = pick(trigger.properties, "pipeline")
    for found in [*(pick(trigger.properties, "pipelines") or ()), *([one] if one else [])]:
        if str(pick(pick(found, "pipelineReference") or {}, "referenceName")).casefold() == pipeline.casefold():
            return dict(found)
    return None


def _recurring(trigger: Resource, more: Mapping[str, Any]) -> Schedule:
    recurrence = pick(trigger.type_properties, "recurrence") or {}
    zone = _zone(trigger, str(pick(recurrence, "timeZone") or "UTC"))
    start = _time(trigger, pick(recurrence, "startTime"), zone)
    raw_end = pick(recurrence, "endTime")
    end = _time(trigger, raw_end, zone) if raw_end else None
    return Schedule(start, end, str(zone), cron=_cron(trigger, recurrence, start.astimezone(zone)), **more)


def _cron(trigger: Resource, recurrence: Mapping[str, Json], start: datetime) -> str:
    every, unit = int(pick(recurrence, "interval") or 1), str(pick(recurrence, "frequency")).casefold()
    plan = pick(recurrence, "schedule") or {}
    if unit == "hour" and every == 24:
        every, unit = 1, "day"
    minutes = _list(pick(plan, "minutes"), start.minute)
    hours = _list(pick(plan, "hours"), start.hour)
    if unit == "minute" and 60 % every == 0:
        return f"{_steps(start.minute, every, 60)} * * * *"
    if unit == "hour" and 24 % every == 0:
        return f"{minutes} {_steps(start.hour, every, 24)} * * *"
    if unit == "day" and every == 1:
        return f"{minutes} {hours} * * *"
    if unit == "week" and every == 1:
        days = [_DAYS.index(str(day).casefold()) for day in pick(plan, "weekDays") or ()] or [start.isoweekday() % 7]
        return f"{minutes} {hours} * * {','.join(map(str, sorted(days)))}"
    if unit == "month" and every == 1:
        return f"{minutes} {hours} {_days_of_month(trigger, plan, start)}"
    raise _refused(trigger, f"every {every} {unit}s", "no cron says that: give the DAG a timetable of your own with schedule=…")


def _days_of_month(trigger: Resource, plan: Mapping[str, Json], start: datetime) -> str:
    """The last three fields of a cron."""
    if occurrences := pick(plan, "monthlyOccurrences"):
        found = []
        for one in occurrences:
            number, day = int(pick(one, "occurrence") or 1), _DAYS.index(str(pick(one, "day")).casefold())
            if number < _LAST:
                raise _refused(trigger, f"monthlyOccurrences {number}", "takes 1 to 5, and -1")
            found.append(f"L{day}" if number == _LAST else f"{day}#{number}")
        return f"* * {','.join(found)}"
    days = [int(day) for day in pick(plan, "monthDays") or ()] or [start.day]
    if min(days) < _LAST:
        raise _refused(trigger, f"monthDays {min(days)}", "takes 1 to 31, and -1")
    return f"{','.join('L' if day == _LAST else str(day) for day in days)} * *"


def _tumbling(trigger: Resource, more: Mapping[str, Any]) -> Schedule:
    bag = trigger.type_properties
    unit, every = str(pick(bag, "frequency")).casefold(), int(pick(bag, "interval") or 1)
    if unit not in ("minute", "hour"):
        raise _refused(trigger, f"windows of {every} {unit}s", "takes windows of minutes or hours")
    if seconds_of(pick(bag, "delay")):
        raise _refused(trigger, f"a delay of {pick(bag, 'delay')}", "takes none: begin the pipeline with a Wait instead")
    if pick(bag, "dependsOn"):
        raise _refused(trigger, "dependsOn", "windows that wait for other windows do not run here: join the pipelines instead")
    utc = ZoneInfo("UTC")
    end = pick(bag, "endTime")
    return Schedule(
        start=_time(trigger, pick(bag, "startTime"), utc),
        end=_time(trigger, end, utc) if end else None,
        timezone="UTC",
        window=timedelta(**{f"{unit}s": every}),
        at_once=int(pick(bag, "maxConcurrency") or 50),
        **more,
    )


def _steps(start: int, every: int, size: int) -> str:
    return "*" if every == 1 else ",".join(map(str, range(start % every, size, every)))


def _list(raw: Json, default: int) -> str:
    values = raw if isinstance(raw, Sequence) and not isinstance(raw, str) and raw else [default]
    return ",".join(map(str, sorted(map(int, values))))


def _zone(trigger: Resource, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(iana(name))
    except (KeyError, ValueError, OSError):
        raise _refused(trigger, f"the time zone {name!r}", "takes a Windows or an IANA name") from None


def _time(trigger: Resource, raw: Json, zone: ZoneInfo) -> datetime:
    try:
        found = datetime.fromisoformat(str(raw))
    except ValueError:
        raise _refused(trigger, f"the time {raw!r}", "takes an ISO 8601 time") from None
    return found if found.tzinfo else found.replace(tzinfo=zone)


def _refused(trigger: Resource, got: str, fix: str) -> SpecError:
    return SpecError(f"trigger {trigger.name!r}: got {got}: {fix}")
