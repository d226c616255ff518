"""Triggers as crons and windows, exact or refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePath
from typing import Any

import pytest

from airflow_ml_provider.adf.graph import Resource
from airflow_ml_provider.adf.schedules import Schedule, schedule
from airflow_ml_provider.core.errors import SpecError

STARTS = {"pipelines": [{"pipelineReference": {"referenceName": "Load"}, "parameters": {"day": "@trigger().scheduledTime"}}]}


def recurring(frequency: str, interval: int = 1, **more: Any) -> Schedule:
    recurrence = {
        "frequency": frequency,
        "interval": interval,
        "startTime": "2024-05-07T06:20:00",
        "timeZone": "W. Europe Standard Time",
    }
    return _made("ScheduleTrigger", {"recurrence": {**recurrence, **more}})


def _made(kind: str, properties: dict[str, Any], **more: Any) -> Schedule:
    trigger = Resource("trigger", "tr", kind, {**STARTS, **more, "typeProperties": properties}, PurePath("trigger/tr.json"))
    assert schedule(trigger, "other") is None
    found = schedule(trigger, "load")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("made", "cron"),
    [
        (("Minute", 15), "5,20,35,50 * * * *"),
        (("Hour", 6), "20 0,6,12,18 * * *"),
        (("Hour", 24), "20 6 * * *"),
        (("Day", 1, {"hours": [18, 6], "minutes": [0, 30]}), "0,30 6,18 * * *"),
        (("Week", 1, {"weekDays": ["Sunday", "Friday"]}), "20 6 * * 0,5"),
        (("Week", 1), "20 6 * * 2"),
        (("Month", 1, {"monthDays": [1, -1]}), "20 6 1,L * *"),
        (("Month", 1, {"monthlyOccurrences": [{"day": "Monday", "occurrence": 2}]}), "20 6 * * 1#2"),
    ],
)
def test_recurrences_are_crons_in_their_time_zone(made: tuple[Any, ...], cron: str) -> None:
    frequency, interval, *plan = made
    found = recurring(frequency, interval, schedule=plan[0] if plan else {})
    assert (found.cron, found.timezone) == (cron, "Europe/Berlin")
    assert found.start.isoformat() == "2024-05-07T06:20:00+02:00"
    assert found.parameters == {"day": "@trigger().scheduledTime"}


@pytest.mark.parametrize(("frequency", "interval"), [("Minute", 7), ("Day", 2), ("Week", 2), ("Month", 3)])
def test_what_no_cron_says_is_refused(frequency: str, interval: int) -> None:
    with pytest.raises(SpecError, match=f"every {interval} {frequency.lower()}s"):
        recurring(frequency, interval)


def test_tumbling_windows_are_data_intervals() -> None:
    properties = {"frequency": "Hour", "interval": 2, "startTime": "2024-05-07T06:00:00Z", "maxConcurrency": 3}
    found = _made("TumblingWindowTrigger", properties, runtimeState="Stopped")
    assert (found.window, found.at_once, found.active) == (timedelta(hours=2), 3, False)
    with pytest.raises(SpecError, match="delay"):
        _made("TumblingWindowTrigger", {**properties, "delay": "00:10:00"})
