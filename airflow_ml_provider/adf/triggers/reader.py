"""Triggers as what starts a pipeline: times, windows or events; exact, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.expressions.functions.zones import iana
from airflow_ml_provider.adf.fields import pick, read_reference
from airflow_ml_provider.adf.known_properties import refused_of_trigger
from airflow_ml_provider.adf.model import Factory, Json, Pipeline, Resource
from airflow_ml_provider.adf.naming import distinct_names
from airflow_ml_provider.adf.triggers.events import CREATED, DELETED, Blobs, Events
from airflow_ml_provider.adf.triggers.recurrence import DAYS, UNITS, Recurrence
from airflow_ml_provider.adf.triggers.windows import Wait, Windows
from airflow_ml_provider.core.errors import SpecError

Timing: TypeAlias = Recurrence | Windows | Blobs | Events


@dataclass(frozen=True)
class Start:
    """How a trigger starts a pipeline.

    :param trigger: its name.
    :param kind: its type, such as ``ScheduleTrigger``.
    :param parameters: of the pipeline, as the trigger gives them; expressions over ``trigger()``.
    :param active: the trigger is started.
    :param label: what tells it from the export's other triggers; its name where no other one has it.
    """

    trigger: str
    kind: str
    timing: Timing
    parameters: Mapping[str, Json] = field(default_factory=dict)
    active: bool = True
    label: str = ""


def starts(factory: Factory, pipeline: Pipeline) -> tuple[list[Start], list[str]]:
    """All that starts a pipeline, and what of its triggers is not taken over, each with its reason."""
    found: list[Start] = []
    refused: list[str] = []
    for trigger, label in zip(factory.triggers, distinct_names(factory.triggers), strict=True):
        if (named := factory.pipeline(pipeline.name, trigger.source)) and named.key != pipeline.key:
            continue  # it starts the pipeline of this name in another factory
        try:
            if made := start(trigger, pipeline.name):
                found.append(replace(made, label=label))
                refused.extend(_left_out(trigger))
        except SpecError as error:
            refused.append(str(error))
    windows = [one for one in found if isinstance(one.timing, Windows)]
    if windows and len(found) > 1:
        others = [one.trigger for one in found if one is not windows[0]]
        fix = "a DAG of windows has no other schedule: start it with an ExecutePipeline of another pipeline"
        refused.extend(f"trigger {name!r}: {fix}" for name in others)
        found = windows[:1]
    return found, refused


def start(trigger: Resource, pipeline: str) -> Start | None:
    """How a trigger starts a pipeline; None when it does not.

    :raises SpecError: it starts it in a way that does not run here.
    """
    given = _starts(trigger, pipeline)
    if given is None:
        return None
    made = _KINDS.get(trigger.type.casefold())
    if made is None:
        raise _refused(trigger, trigger.type, f"takes one of {', '.join(_NAMES)}: start the DAG from an asset or the API")
    if refused := next(refused_of_trigger(trigger.type, trigger.type_properties), None):
        raise SpecError(f"trigger {trigger.name!r}: {refused}")
    active = str(pick(trigger.properties, "runtimeState") or "Started").casefold() == "started"
    try:
        timing = made(trigger)
    except SpecError:
        raise
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise _refused(trigger, f"settings that cannot be read ({error})", "takes those of the portal") from error
    return Start(trigger.name, trigger.type, timing, pick(given, "parameters") or {}, active)


def _starts(trigger: Resource, pipeline: str) -> Mapping[str, Json] | None:
    one, several = pick(trigger.properties, "pipeline"), pick(trigger.properties, "pipelines")
    for found in [*(several if isinstance(several, list) else ()), one]:
        reference = read_reference(pick(found, "pipelineReference")) if isinstance(found, Mapping) else None
        if reference and reference.name.casefold() == pipeline.casefold():
            return dict(found)
    return None


def _recurring(trigger: Resource) -> Recurrence:
    raw = pick(trigger.type_properties, "recurrence") or {}
    zone, plan = _zone(trigger, str(pick(raw, "timeZone") or "UTC")), pick(raw, "schedule") or {}
    unit, end = str(pick(raw, "frequency")).casefold(), pick(raw, "endTime")
    if unit not in UNITS:
        raise _refused(trigger, f"the frequency {unit!r}", f"takes one of {', '.join(UNITS)}")
    if pick(plan, "monthDays") and pick(plan, "monthlyOccurrences"):
        raise _refused(trigger, "monthDays and monthlyOccurrences", "takes one of the two")
    return Recurrence(
        unit,
        _interval(trigger, raw),
        _time(trigger, pick(raw, "startTime"), zone).astimezone(zone).replace(microsecond=0),
        zone,
        end=_time(trigger, end, zone) if end else None,
        minutes=_numbers(trigger, plan, "minutes", range(60)),
        hours=_numbers(trigger, plan, "hours", range(24)),
        week_days=tuple(sorted(_day(trigger, day) for day in _list(pick(plan, "weekDays")))),
        month_days=_numbers(trigger, plan, "monthDays", (*range(-31, 0), *range(1, 32))),
        occurrences=tuple(_occurrence(trigger, one) for one in _list(pick(plan, "monthlyOccurrences"))),
    )


def _occurrence(trigger: Resource, raw: Mapping[str, Json]) -> tuple[int, int]:
    number = int(pick(raw, "occurrence") or 0)
    if abs(number) > 5:
        raise _refused(trigger, f"occurrence {number}", "takes 1 to 5, and -1 to -5")
    return _day(trigger, pick(raw, "day")), number


def _tumbling(trigger: Resource) -> Windows:
    bag = trigger.type_properties
    unit, end, utc = str(pick(bag, "frequency")).casefold(), pick(bag, "endTime"), ZoneInfo("UTC")
    if unit not in ("minute", "hour", "month"):
        raise _refused(trigger, f"windows of {unit}s", "takes windows of minutes, hours or months")
    return Windows(
        _time(trigger, pick(bag, "startTime"), utc).astimezone(UTC),
        unit,
        _interval(trigger, bag),
        end=_time(trigger, end, utc).astimezone(UTC) if end else None,
        delay=_span(trigger, "delay", pick(bag, "delay")) or timedelta(),
        at_once=max(int(pick(bag, "maxConcurrency") or 50), 1),
        waits=tuple(_wait(trigger, one) for one in _list(pick(bag, "dependsOn"))),
        **_again(trigger),
    )


def _again(trigger: Resource) -> dict[str, Any]:
    """How often, and after how long, a window that failed is handled again."""
    policy = pick(trigger.type_properties, "retryPolicy") or {}
    count, pause = pick(policy, "count") or 0, pick(policy, "intervalInSeconds")
    if _is_number(count) and (pause is None or _is_number(pause)):
        return {"retries": int(count), "pause": timedelta(seconds=30 if pause is None else int(pause))}
    return {}


def _is_number(raw: Json) -> bool:
    return str(raw).isdecimal() and len(str(raw)) < 10


def _wait(trigger: Resource, raw: Mapping[str, Json]) -> Wait:
    offset = _span(trigger, "dependsOn: offset", pick(raw, "offset")) or timedelta()
    size = _span(trigger, "dependsOn: size", pick(raw, "size"))
    if str(pick(raw, "type")).casefold().startswith("self"):
        if offset >= timedelta():
            raise _refused(trigger, f"dependsOn itself: offset {pick(raw, 'offset')}", "takes a negative one")
        return Wait("", offset, size)
    other = read_reference(pick(raw, "referenceTrigger"))
    if other is None:
        raise _refused(trigger, "dependsOn without a trigger's name", "takes a referenceTrigger")
    return Wait(other.name, offset, size)


def _blobs(trigger: Resource) -> Blobs:
    bag = trigger.type_properties
    wanted = [str(one) for one in _list(pick(bag, "events"))] or [CREATED]
    types = tuple(kind for kind in (CREATED, DELETED) if kind.casefold() in map(str.casefold, wanted))
    if not types:
        raise _refused(trigger, f"events {', '.join(wanted)}", f"takes {CREATED} and {DELETED}: nothing tells of others")
    begins, ends = str(pick(bag, "blobPathBeginsWith") or ""), str(pick(bag, "blobPathEndsWith") or "")
    return Blobs(str(pick(bag, "scope") or ""), begins, ends, pick(bag, "ignoreEmptyBlobs") is True, types)


def _events(trigger: Resource) -> Events:
    bag = trigger.type_properties
    begins, ends = str(pick(bag, "subjectBeginsWith") or ""), str(pick(bag, "subjectEndsWith") or "")
    return Events(str(pick(bag, "scope") or ""), tuple(map(str, _list(pick(bag, "events")))), begins, ends)


def _left_out(trigger: Resource) -> Iterator[str]:
    """What of a trigger is not taken over, though it starts the pipeline."""
    policy = pick(trigger.type_properties, "retryPolicy") or {}
    if pick(policy, "count") and not _again(trigger):
        yield f"trigger {trigger.name!r}: retryPolicy: got {dict(policy)}: takes numbers: a window that failed is not handled again by itself"
    if trigger.type.casefold() == "blobeventstrigger":
        wanted = [str(one) for one in _list(pick(trigger.type_properties, "events"))]
        others = [one for one in wanted if one.casefold() not in (CREATED.casefold(), DELETED.casefold())]
        yield from (f"trigger {trigger.name!r}: {one}: nothing tells of it here" for one in others)


def _interval(trigger: Resource, raw: Mapping[str, Json]) -> int:
    found = pick(raw, "interval")
    number = 1 if found is None else int(found)
    if not 1 <= number <= 1_000_000:
        raise _refused(trigger, f"the interval {found!r}", "takes 1 or more")
    return number


def _numbers(trigger: Resource, plan: Mapping[str, Json], key: str, takes: Sequence[int]) -> tuple[int, ...]:
    found = tuple(sorted({int(one) for one in _list(pick(plan, key))}))
    if wrong := [one for one in found if one not in takes]:
        raise _refused(trigger, f"{key} {wrong[0]}", f"takes {takes[0]} to {takes[-1]}")
    return found


def _day(trigger: Resource, raw: Json) -> int:
    name = str(raw).casefold()
    if name not in DAYS:
        raise _refused(trigger, f"the day {raw!r}", "takes the name of a day of the week")
    return DAYS.index(name)


def _list(raw: Json) -> list[Json]:
    return raw if isinstance(raw, list) else [] if raw is None else [raw]


def _span(trigger: Resource, what: str, raw: Json) -> timedelta | None:
    if raw in (None, ""):
        return None
    sign, text = (-1, str(raw)[1:]) if str(raw).startswith("-") else (1, raw)
    seconds = seconds_of(text)
    if seconds is None:
        raise _refused(trigger, f"{what} {raw!r}", "takes d.hh:mm:ss")
    return timedelta(seconds=sign * seconds)


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


_NAMES: dict[str, Callable[[Resource], Timing]] = {
    "ScheduleTrigger": _recurring,
    "TumblingWindowTrigger": _tumbling,
    "BlobEventsTrigger": _blobs,
    "CustomEventsTrigger": _events,
}
_KINDS = {name.casefold(): made for name, made in _NAMES.items()}
