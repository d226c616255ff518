"""Every property of activities and triggers is honoured, without effect, or refused: Microsoft's SDK says which there are."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

import pytest
from azure.mgmt.datafactory import models
from azure.mgmt.datafactory.models import _models as _internal

from airflow_ml_provider.adf.known_properties import (
    ACTIVITIES,
    FORMAT_READ,
    FORMAT_WRITE,
    SINK,
    SOURCE,
    STORE_READ,
    STORE_WRITE,
    TRIGGERS,
    Known,
    refused_properties,
)
from airflow_ml_provider.adf.model import Activity, Factory, Pipeline, Reference, Resource
from airflow_ml_provider.adf.support.verdicts import RUNS, judge
from airflow_ml_provider.adf.triggers.reader import starts
from tests.unit.adf.test_sdk_names import activities, below, fields

BEYOND_THE_SDK = {"CustomEventsTrigger": {"advancedFilters"}}
SYNAPSE = {"SqlPoolStoredProcedure"}


def _all(known: Known) -> set[str]:
    parts = (known.honoured, known.idle, known.refused)
    found = frozenset[str]().union(*parts)
    assert sum(map(len, parts)) == len(found), "a property has one place"
    return set(found)


def _type_properties(model: type) -> set[str]:
    named = re.findall(r"_models\.(\w+)", fields(model).get("typeProperties", ""))
    return set(fields(vars(_internal)[named[0]])) if named else set()


def _names(base: type) -> set[str]:
    return set().union(*(fields(one) for one in below(base))) - {"type"}


def test_the_tables_name_each_property_of_the_sdk() -> None:
    found = activities()
    assert set(ACTIVITIES) == set(RUNS) - SYNAPSE
    assert {kind: _all(known) for kind, known in ACTIVITIES.items()} == {
        kind: _type_properties(found[kind]) for kind in ACTIVITIES
    }
    triggers = {kind: _type_properties(getattr(models, kind)) | BEYOND_THE_SDK.get(kind, set()) for kind in TRIGGERS}
    assert {kind: _all(known) for kind, known in TRIGGERS.items()} == triggers
    others: list[tuple[Known, type]] = [
        (SOURCE, models.CopySource),
        (SINK, models.CopySink),
        (STORE_READ, models.StoreReadSettings),
        (STORE_WRITE, models.StoreWriteSettings),
        (FORMAT_READ, models.FormatReadSettings),
        (FORMAT_WRITE, models.FormatWriteSettings),
    ]
    for known, model in others:
        assert _all(known) == _names(model), model


@pytest.mark.parametrize(
    ("kind", "properties", "refused"),
    [
        (
            "Copy",
            {"enableSkipIncompatibleRow": True, "redirectIncompatibleRowSettings": {"path": "a"}},
            "enableSkipIncompatibleRow",
        ),
        ("Copy", {"EnableSkipIncompatibleRow": {"type": "Expression", "value": "@pipeline().x"}}, "enableSkipIncompatibleRow"),
        ("Copy", {"preserve": ["Attributes"]}, "preserve"),
        ("Copy", {"source": {"treatEmptyAsNull": False, "skipHeaderLineCount": 2}}, "source.skipHeaderLineCount"),
        ("Copy", {"sink": {"formatSettings": {"maxRowsPerFile": 10}}}, "formatSettings.maxRowsPerFile"),
        ("Copy", {"sink": {"polyBaseSettings": {"rejectValue": 5}}}, "polyBaseSettings.rejectValue"),
        ("Copy", {"translator": {"typeConversionSettings": {"culture": "de"}}}, "typeConversionSettings.culture"),
        ("Script", {"returnMultistatementResult": True}, "returnMultistatementResult"),
        ("Lookup", {"source": {"storeSettings": {"fileListPath": "a"}}}, "storeSettings.fileListPath"),
    ],
)
def test_what_would_change_the_result_is_refused(kind: str, properties: dict[str, Any], refused: str) -> None:
    first = next(refused_properties(Activity("a", kind, type_properties=properties)))
    assert first == f"{refused}: does not run here: remove it, or do what it asks for in another activity"


def test_what_is_off_or_changes_nothing_is_not_refused() -> None:
    off = {
        "enableSkipIncompatibleRow": False,
        "redirectIncompatibleRowSettings": None,
        "preserve": [],
        "parallelCopies": 8,
        "enableStaging": True,
        "source": {"formatSettings": {"validationMode": "none", "namespaces": True}, "maxConcurrentConnections": 3},
        "sink": {"polyBaseSettings": {"rejectValue": 0}, "writeBatchSize": 10000},
        "translator": {"typeConversionSettings": {"allowDataTruncation": True, "treatBooleanAsNumber": False}},
        "of a later version": 1,
    }
    assert not list(refused_properties(Activity("a", "Copy", type_properties=off)))


def test_the_verdict_and_the_trigger_say_so() -> None:
    """ "Advanced filters" of custom events ("Create a trigger that runs a pipeline in response to a custom event")."""
    tables = tuple(
        Resource(
            "dataset",
            name,
            "AzureSqlTable",
            {"linkedServiceName": "db", "typeProperties": {"table": name}},
            PurePath(f"{name}.json"),
        )
        for name in ("one", "two")
    )
    copy = Activity(
        "copy",
        "Copy",
        type_properties={"source": {}, "sink": {}, "enableSkipIncompatibleRow": True},
        inputs=(Reference("", "one"),),
        outputs=(Reference("", "two"),),
        path=("copy",),
    )
    pipeline = Pipeline("p", PurePath("p.json"), activities=(copy,))
    filters = {"scope": "/t", "events": ["copied"], "advancedFilters": [{"key": "data.size", "values": [5]}]}
    bag = {"typeProperties": filters, "pipelines": [{"pipelineReference": {"referenceName": "p"}}]}
    trigger = Resource("trigger", "sized", "CustomEventsTrigger", bag, PurePath("t.json"))
    factory = Factory(pipelines=(pipeline,), datasets=tables, triggers=(trigger,))
    assert [one.text.partition(":")[0] for one in judge(pipeline, factory).reasons] == ["enableSkipIncompatibleRow"]
    found, left_out = starts(factory, pipeline)
    assert (found, [text.partition(": does")[0] for text in left_out]) == ([], ["trigger 'sized': advancedFilters"])
