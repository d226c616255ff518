"""Triggers as what starts a pipeline, exact or refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any

import pytest

from airflow_ml_provider.adf.model import Factory, Pipeline, Resource
from airflow_ml_provider.adf.support.connections import storage_of
from airflow_ml_provider.adf.triggers.events import CREATED, DELETED, Blobs, Events
from airflow_ml_provider.adf.triggers.reader import Start, start, starts
from airflow_ml_provider.adf.triggers.recurrence import Recurrence
from airflow_ml_provider.adf.triggers.windows import Wait, Windows
from airflow_ml_provider.core.errors import SpecError

STARTS = {"pipelines": [{"pipelineReference": {"referenceName": "Load"}, "parameters": {"day": "@trigger().scheduledTime"}}]}
LOADED = Pipeline("load", PurePath("pipeline/load.json"))
HOURLY = {"frequency": "Hour", "interval": 2, "startTime": "2024-05-07T06:00:00Z"}


def trigger(kind: str, properties: dict[str, Any], name: str = "tr", **more: Any) -> Resource:
    return Resource("trigger", name, kind, {**STARTS, **more, "typeProperties": properties}, PurePath(f"trigger/{name}.json"))


def made(kind: str, properties: dict[str, Any], **more: Any) -> Start:
    one = trigger(kind, properties, **more)
    assert start(one, "other") is None
    found = start(one, "load")
    assert found is not None
    return found


def recurring(**more: Any) -> Recurrence:
    recurrence = {"frequency": "Week", "interval": 2, "startTime": "2024-05-07T06:20:30.1234567", **more}
    found = made("ScheduleTrigger", {"recurrence": recurrence})
    assert found.parameters == {"day": "@trigger().scheduledTime"}
    assert isinstance(found.timing, Recurrence)
    return found.timing


def test_a_recurrence_is_read_in_its_time_zone() -> None:
    plan = {"weekDays": ["friday", "Sunday"], "hours": "6", "minutes": [30, 0]}
    found = recurring(timeZone="W. Europe Standard Time", schedule=plan, endTime="2024-06-01T00:00:00Z")
    assert found.start.isoformat() == "2024-05-07T06:20:30+02:00"
    assert (found.unit, found.interval, found.week_days, found.hours, found.minutes) == ("week", 2, (0, 5), (6,), (0, 30))
    assert str(found) == "every 2 weeks on Sunday, Friday at hour 6 at minute 0, 30 from 2024-05-07 06:20 Europe/Berlin"
    assert found.after(datetime(2024, 5, 20, tzinfo=UTC)) == datetime(2024, 5, 24, 4, tzinfo=UTC)
    assert found.after(datetime(2024, 5, 31, tzinfo=UTC)) is None
    monthly = recurring(frequency="Month", schedule={"monthlyOccurrences": [{"day": "Monday", "occurrence": -2}]})
    assert monthly.occurrences == ((1, -2),)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"frequency": "Year"}, "the frequency 'year': takes one of minute"),
        ({"interval": 0}, "the interval 0: takes 1 or more"),
        ({"startTime": "[parameters('start')]"}, "takes an ISO 8601 time"),
        ({"timeZone": "Mars"}, "the time zone 'Mars'"),
        ({"schedule": {"minutes": [60]}}, "minutes 60: takes 0 to 59"),
        ({"schedule": {"monthDays": [0]}}, "monthDays 0: takes -31 to 31"),
        ({"schedule": {"hours": "[json('[1]')]"}}, "settings that cannot be read"),
        ({"schedule": {"weekDays": ["Caturday"]}}, "the day 'Caturday'"),
        ({"schedule": {"monthlyOccurrences": [{"day": "Monday", "occurrence": 6}]}}, "occurrence 6: takes 1 to 5"),
        ({"schedule": {"monthDays": [1], "monthlyOccurrences": [{"day": "Monday"}]}}, "takes one of the two"),
    ],
)
def test_what_a_trigger_does_not_have_is_refused(more: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match="trigger 'tr': got ") as raised:
        recurring(**more)
    assert told in str(raised.value)


def test_tumbling_windows() -> None:
    depends = [
        {"type": "TumblingWindowTriggerDependencyReference", "size": "1.00:00:00", "referenceTrigger": {"referenceName": "up"}},
        {"type": "SelfDependencyTumblingWindowTriggerReference", "offset": "-02:00:00"},
    ]
    bag = {**HOURLY, "maxConcurrency": 3, "delay": "00:10:00", "dependsOn": depends}
    found = made("TumblingWindowTrigger", bag, runtimeState="Stopped")
    assert not found.active
    assert found.timing == Windows(
        datetime(2024, 5, 7, 6, tzinfo=UTC),
        "hour",
        2,
        delay=timedelta(minutes=10),
        at_once=3,
        waits=(Wait("up", timedelta(), timedelta(days=1)), Wait("", timedelta(hours=-2), None)),
    )
    for wrong, told in (({"delay": "soon"}, "takes d.hh:mm:ss"), ({"frequency": "Day"}, "windows of days")):
        with pytest.raises(SpecError, match=told):
            made("TumblingWindowTrigger", {**HOURLY, **wrong})
    with pytest.raises(SpecError, match="takes a negative one"):
        made("TumblingWindowTrigger", {**HOURLY, "dependsOn": [{**depends[1], "offset": "02:00:00"}]})


def test_blob_and_custom_events() -> None:
    scope = "/subscriptions/x/providers/Microsoft.Storage/storageAccounts/lake"
    bag = {"scope": scope, "events": ["Microsoft.Storage.BlobCreated"], "ignoreEmptyBlobs": True}
    blobs = made("BlobEventsTrigger", {**bag, "blobPathBeginsWith": "/raw/blobs/in/fl", "blobPathEndsWith": ".csv"}).timing
    assert isinstance(blobs, Blobs)
    assert (blobs.account, blobs.prefix, blobs.ends, blobs.ignore_empty) == ("lake", "raw/in/fl", ".csv", True)
    for written, prefix in (("/raw/", "raw/"), ("/raw/blobs/", "raw/"), ("", ""), ("/ra", "ra")):
        assert Blobs(scope, written, "", ignore_empty=False).prefix == prefix
    for events, types, word in (
        ([DELETED], (DELETED,), "deleted"),
        ([DELETED, CREATED], (CREATED, DELETED), "written or deleted"),
    ):
        deleted = made("BlobEventsTrigger", {**bag, "events": events}).timing
        assert isinstance(deleted, Blobs)
        assert deleted.types == types
        assert str(deleted).startswith(f"each blob that is {word} in lake")
    with pytest.raises(
        SpecError, match=r"BlobRenamed: takes Microsoft\.Storage\.BlobCreated and Microsoft\.Storage\.BlobDeleted"
    ):
        made("BlobEventsTrigger", {**bag, "events": ["Microsoft.Storage.BlobRenamed"]})
    bag = {"scope": "/…/topics/orders", "events": ["placed"], "subjectBeginsWith": "eu/"}
    events = made("CustomEventsTrigger", bag).timing
    assert isinstance(events, Events)
    assert [
        events.takes(one) for one in ({"eventType": "placed", "subject": "EU/7"}, {"eventType": "paid", "subject": "eu/7"})
    ] == [*(True, False)]


def test_an_account_is_the_linked_service_that_names_it() -> None:
    def service(name: str, text: str) -> Resource:
        return Resource("linkedService", name, "AzureBlobFS", {"typeProperties": {"url": text}}, PurePath(f"{name}.json"))

    lake, other = service("My Lake", "https://lake.dfs.core.windows.net"), service("Other", "https://other.dfs.core.windows.net")
    assert storage_of(Factory(linked_services=(other, lake)), "lake") == "my_lake"
    assert storage_of(Factory(linked_services=(other,)), "lake") == "other"
    assert storage_of(Factory(linked_services=(other, service("Third", ""))), "lake") == "lake"


def test_all_that_starts_a_pipeline() -> None:
    daily = trigger("ScheduleTrigger", {"recurrence": {**HOURLY, "frequency": "Day"}}, "daily")
    retried = trigger("TumblingWindowTrigger", {**HOURLY, "retryPolicy": {"count": 2}}, "windows")
    blobs = trigger("BlobEventsTrigger", {"events": [CREATED, "Microsoft.Storage.BlobRenamed"]}, "blobs")
    strange = trigger("RerunTumblingWindowTrigger", {}, "strange")
    found, told = starts(Factory(triggers=(daily, blobs, strange)), replace(LOADED, name="LOAD"))
    assert [one.trigger for one in found] == ["daily", "blobs"]
    assert [text.partition(" takes")[0] for text in told] == [
        "trigger 'blobs': Microsoft.Storage.BlobRenamed: nothing tells of it here",
        "trigger 'strange': got RerunTumblingWindowTrigger:",
    ]
    found, told = starts(Factory(triggers=(daily, retried)), LOADED)
    assert [one.trigger for one in found] == ["windows"]
    (windows,) = (one.timing for one in found if isinstance(one.timing, Windows))
    assert (windows.retries, windows.pause.total_seconds(), len(told)) == (2, 30, 1)
    soon = trigger("TumblingWindowTrigger", {**HOURLY, "retryPolicy": {"count": "1", "intervalInSeconds": 5}}, "soon")
    ((found_soon,), told) = starts(Factory(triggers=(soon,)), LOADED)
    assert isinstance(found_soon.timing, Windows)
    assert (found_soon.timing.retries, found_soon.timing.pause.total_seconds(), told) == (1, 5, [])
    odd = trigger("TumblingWindowTrigger", {**HOURLY, "retryPolicy": {"count": "@pipeline().x"}}, "odd")
    (_, (reason,)) = starts(Factory(triggers=(odd,)), LOADED)
    assert "retryPolicy: got" in reason
