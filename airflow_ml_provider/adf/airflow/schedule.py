"""What starts a pipeline, as fields of its DAG."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from airflow_ml_provider._compat import asset_or_time_schedule
from airflow_ml_provider.adf.model import Factory
from airflow_ml_provider.adf.support.connections import storage_of
from airflow_ml_provider.adf.triggers.events import CREATED, DELETED, Blobs, Events
from airflow_ml_provider.adf.triggers.reader import Start
from airflow_ml_provider.adf.triggers.recurrence import Recurrence
from airflow_ml_provider.adf.triggers.windows import Windows

if TYPE_CHECKING:
    from airflow.sdk import Asset


def schedule_fields(starts: Sequence[Start], factory: Factory, prefix: str, watch_interval: float) -> dict[str, Any]:
    """``schedule``, ``start_date`` and what else of a DAG its triggers decide.

    Windows that have passed are made up for; times are not. With every trigger stopped, the DAG is paused when it is first seen.

    :param starts: what the DAG is scheduled by: those of one state, started or stopped.
    :param prefix: of the assets' names, which are those of their triggers.
    :param watch_interval: seconds between a watcher's looks for blobs.
    """
    if not starts:
        return {"schedule": None, "is_paused_upon_creation": False}  # nothing starts it by itself, and callers wait for it
    paused = {} if starts[0].active else {"is_paused_upon_creation": True}
    first = min((one.timing.start for one in starts if isinstance(one.timing, Recurrence | Windows)), default=None)
    return {"start_date": first, **_schedule(starts, factory, prefix, watch_interval), **paused}


def _schedule(starts: Sequence[Start], factory: Factory, prefix: str, watch_interval: float) -> dict[str, Any]:
    timing = starts[0].timing
    if isinstance(timing, Windows):
        from airflow_ml_provider.adf.airflow.timetables import WindowTimetable

        return {"schedule": WindowTimetable(timing), "catchup": True, "max_active_runs": timing.at_once}
    assets = [_asset(one, factory, prefix, watch_interval) for one in starts if isinstance(one.timing, Blobs | Events)]
    recurrences = [one.timing for one in starts if isinstance(one.timing, Recurrence)]
    if not recurrences:
        return {"schedule": reduce(or_, assets) if assets[1:] else assets}
    from airflow_ml_provider.adf.airflow.timetables import RecurrenceTimetable

    timetable = RecurrenceTimetable(recurrences)
    if not assets:
        return {"schedule": timetable}
    return {"schedule": asset_or_time_schedule()(timetable=timetable, assets=reduce(or_, assets) if assets[1:] else assets)}


def _asset(start: Start, factory: Factory, prefix: str, watch_interval: float) -> Asset:
    """The asset that a trigger's events update: blobs by a watcher of their mount, others by who sends them, through Airflow's API."""
    from airflow.sdk import Asset, AssetWatcher

    name, timing = f"{prefix}{start.label}", start.timing
    if not isinstance(timing, Blobs):
        return Asset(name=name)
    from airflow_ml_provider.adf.airflow.blob_watcher import BlobWatcher

    place = f"mount://{storage_of(factory, timing.account)}/{timing.prefix}"
    watch = BlobWatcher(
        start.trigger,
        place,
        ends=timing.ends,
        ignore_empty=timing.ignore_empty,
        created=CREATED in timing.types,
        deleted=DELETED in timing.types,
        poll_interval=watch_interval,
    )
    return Asset(name=name, watchers=[AssetWatcher(name=name, trigger=watch)])
