"""Details of the language and of plans that .NET or Data Factory decides; each test names its source."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_ml_provider.adf.errors import ExpressionError
from airflow_ml_provider.adf.export.pipeline_reader import read_pipeline
from airflow_ml_provider.adf.expressions.evaluator import evaluate
from airflow_ml_provider.adf.triggers.recurrence import Recurrence

STATE: dict[str, Any] = {
    "activities": {"Größe": {"output": {"$count": 3, "größe": 7, "ключ": "x"}, "status": "Succeeded", "error": {}}}
}


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("d", "1/1/2018"),
        ("D", "Monday, January 1, 2018"),
        ("f", "Monday, January 1, 2018 1:05 PM"),
        ("F", "Monday, January 1, 2018 1:05:09 PM"),
        ("g", "1/1/2018 1:05 PM"),
        ("G", "1/1/2018 1:05:09 PM"),
        ("m", "January 1"),
        ("t", "1:05 PM"),
        ("T", "1:05:09 PM"),
        ("U", "Monday, January 1, 2018 1:05:09 PM"),
        ("Y", "January 2018"),
        ("R", "Mon, 01 Jan 2018 13:05:09 GMT"),
        ("s", "2018-01-01T13:05:09"),
    ],
)
def test_dates_are_written_in_american_english(form: str, written: str) -> None:
    """``addToTime(…, 'D')`` gives "Monday, January 1, 2018" ("Expressions and functions in Azure Data Factory"); the others are those of
    en-US in "Standard date and time format strings" of .NET.
    """
    assert evaluate(f"@formatDateTime('2018-01-01T13:05:09Z', '{form}')", {}) == written


def test_a_time_that_a_zone_has_twice_is_standard_time() -> None:
    """ "If dateTime is ambiguous … assumes that it is standard time" (.NET, ``TimeZoneInfo.ConvertTimeToUtc``); one that a zone leaves out is an
    error there too.
    """
    twice = {"2024-11-03T01:30:00": "Pacific Standard Time", "2024-10-27T02:30:00": "Europe/Paris"}
    found = [evaluate(f"@convertToUtc('{time}', '{zone}')", {}) for time, zone in twice.items()]
    assert found == ["2024-11-03T09:30:00.0000000Z", "2024-10-27T01:30:00.0000000Z"]
    with pytest.raises(ExpressionError, match="does not have"):
        evaluate("@convertToUtc('2024-03-10T02:30:00', 'Pacific Standard Time')", {})


def test_letters_and_white_space_are_unicodes() -> None:
    """What ``char.IsLetter`` and ``char.IsWhiteSpace`` of .NET take."""
    assert evaluate("@activity('Größe').output.größe", STATE) == 7
    assert evaluate("@activity('Größe').output.ключ", STATE) == "x"
    assert evaluate("@activity('Größe').output.$count", STATE) == 3
    for space in "\u00a0\u2003\u3000\u0085\u2028\t\n":
        assert evaluate(f"@add({space}1{space},{space}2{space})", {}) == 3
    with pytest.raises(ExpressionError):
        evaluate("@add(\x1c1, 2)", {})


@pytest.mark.parametrize("text", ["-3.5", "+3.5", "/3/5", ".3.5"])
def test_a_signed_number_is_no_date(text: str) -> None:
    """``DateTime.Parse`` of .NET refuses it."""
    with pytest.raises(ExpressionError):
        evaluate(f"@formatDateTime('{text}')", {})


def test_dependencies_are_named_in_any_case() -> None:
    """Names of activities know no case ("Azure Data Factory - naming rules")."""

    def wait(name: str, *after: str) -> dict[str, Any]:
        edges = [{"activity": one, "dependencyConditions": ["Succeeded"]} for one in after]
        return {"name": name, "type": "Wait", "dependsOn": edges, "typeProperties": {}}

    loop = {"name": "Loop", "type": "ForEach", "typeProperties": {"activities": [wait("In"), wait("out", "IN")]}}
    made = read_pipeline("p", {"activities": [wait("First"), wait("second", "FIRST", "loop"), loop]}, PurePath("p.json"))
    edges = {one.name: [edge.activity for edge in one.depends_on] for one in made.walk()}
    assert edges == {"First": [], "second": ["First", "Loop"], "Loop": [], "In": [], "out": ["In"]}


def test_a_sparse_plan_has_a_next_moment() -> None:
    """``hours`` and ``weekDays`` narrow a recurrence by the minute ("Create a trigger that runs a pipeline on a schedule")."""
    start = datetime(2024, 1, 7, 5, tzinfo=UTC)
    weekly = Recurrence("minute", 1, start, ZoneInfo("UTC"), hours=(5,), week_days=(0,))
    assert weekly.after(datetime(2024, 1, 7, 5, 59, tzinfo=UTC)) == datetime(2024, 1, 14, 5, tzinfo=UTC)
    assert weekly.before(datetime(2024, 1, 14, 4, 59, tzinfo=UTC)) == datetime(2024, 1, 7, 5, 59, tzinfo=UTC)
    leap = Recurrence("month", 12, datetime(2024, 2, 1, 5, tzinfo=UTC), ZoneInfo("UTC"), month_days=(29,))
    assert leap.after(datetime(2096, 3, 1, tzinfo=UTC)) == datetime(2104, 2, 29, 5, tzinfo=UTC)
    never = Recurrence("month", 12, datetime(2024, 2, 1, 5, tzinfo=UTC), ZoneInfo("UTC"), month_days=(31,))
    assert never.after(datetime(2024, 2, 7, tzinfo=UTC)) is None
