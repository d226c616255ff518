"""What ``activity('…')`` has beside its output and its error: when it ran, how long, and the id of its run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_ml_provider.adf.model import Activity

FACTS = ("ActivityName", "ActivityType", "ActivityRunId", "ExecutionStartTime", "ExecutionEndTime", "Duration", "StatusCode")
"""Null where it is not known here, as ``StatusCode`` always is."""
STARTED = "adf_started"
"""The XCom of an activity's first task: when it began, as :func:`written` has it."""


def now() -> datetime:
    return datetime.now(UTC)


def facts(activity: Activity, run_id: str, began: datetime | None) -> dict[str, Any]:
    """The facts of an activity that ends now.

    :param began: None where it is not known.
    """
    ended = now()
    times = {"ExecutionStartTime": written(began), "Duration": span(ended - began)} if began else {}
    about = {"ActivityName": activity.name, "ActivityType": activity.type, "ActivityRunId": run_id}
    return {**about, **times, "ExecutionEndTime": written(ended)}


def complete(found: Mapping[str, Any]) -> dict[str, Any]:
    """Facts with null for each one that is missing."""
    return {name: found.get(name) for name in FACTS}


def written(time: datetime) -> str:
    """A time as Data Factory writes it: in UTC, with seven digits of a second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"


def read(text: Any) -> datetime | None:
    """The time of a text of :func:`written`; None for anything else."""
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def span(duration: timedelta) -> str:
    """A duration as .NET writes it: ``d.hh:mm:ss.fffffff``, without days where there are none."""
    whole, micro = divmod(max(duration, timedelta()) // timedelta(microseconds=1), 1_000_000)
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{f'{days}.' if days else ''}{hours:02}:{minutes:02}:{seconds:02}.{micro:06}0"
