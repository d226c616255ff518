"""Verdicts come from what an activity's settings ask for."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import pytest

from airflow_ml_provider.adf.export.loader import load
from airflow_ml_provider.adf.model import Activity, Branch, Factory, Pipeline, Policy, Reference, Resource
from airflow_ml_provider.adf.support.verdicts import reasons

EXPORT = Path(__file__).parents[3] / "include" / "adf"
SOURCE = PurePath("x.json")
JUNK: list[Any] = [
    None,
    "",
    5,
    -1.5,
    True,
    [],
    {},
    "x",
    "@item()",
    ["a"],
    {"a": 1},
    {"value": "@x()", "type": "Expression"},
    [[1]],
]


def dataset(name: str, kind: str, **properties: Any) -> Resource:
    bag = {"type": kind, "linkedServiceName": {"referenceName": "there"}, "typeProperties": properties}
    return Resource("dataset", name, kind, bag, SOURCE)


PLACE = {"location": {"type": "AzureBlobFSLocation", "folderPath": "a"}}
DATASETS = (
    dataset("text", "DelimitedText", **PLACE),
    dataset("parquet", "Parquet", **PLACE),
    dataset("orc", "Orc", **PLACE),
    dataset("xml", "Xml", **PLACE),
    dataset("excel", "Excel", **PLACE),
    dataset("sheet", "Excel", **PLACE, sheetIndex=0),
    dataset("sftp", "DelimitedText", location={"type": "SftpLocation"}),
    dataset("ftp", "Binary", location={"type": "FtpServerLocation"}),
    dataset("table", "AzureSqlTable", table="a"),
    dataset("crm", "DynamicsEntity", entityName="a"),
    dataset("api", "RestResource", relativeUrl="a"),
)


def told(activity: Activity, *around: Activity) -> list[str]:
    """The reasons for an activity, inside others or by itself."""
    inner = replace(activity, path=(*(one.name for one in around), activity.name))
    top = inner
    for number, one in reversed(list(enumerate(around))):
        top = replace(one, branches=(Branch("body", (top,)),), path=tuple(other.name for other in around[: number + 1]))
    pipeline = Pipeline("p", SOURCE, activities=(top,))
    factory = Factory(pipelines=(pipeline,), datasets=DATASETS)
    return [reason.text for reason in reasons(inner, pipeline, factory)]


def copied(origin: str, target: str, **properties: Any) -> Activity:
    ends = {"inputs": (Reference("", origin),), "outputs": (Reference("", target),)}
    return Activity("copy", "Copy", type_properties=properties, **ends)


def on(kind: str, name: str, **properties: Any) -> Activity:
    return Activity("a", kind, type_properties={"dataset": {"referenceName": name}, **properties})


NOTEBOOK = Activity("n", "DatabricksNotebook", type_properties={"notebookPath": "/a"})
NESTED = {"type": "TabularTranslator", "collectionReference": "$['a']"}


@pytest.mark.parametrize(
    "activity",
    [
        copied("text", "parquet", translator={"type": "Expression", "value": "@pipeline().parameters.t"}),
        copied("table", "parquet"),
        copied("parquet", "table", sink={"writeBehavior": "upsert", "upsertSettings": {"keys": ["a"]}}),
        copied("api", "text", translator=NESTED, source={"paginationRules": {"AbsoluteUrl": "$.next", "supportRFC5988": "true"}}),
        on("Lookup", "parquet"),
        on("GetMetadata", "table", fieldList=["exists", {"value": "@concat(1)", "type": "Expression"}]),
        Activity(
            "w", "WebActivity", type_properties={"url": "https://a", "authentication": {"type": "MSI", "resource": "https://b"}}
        ),
        NOTEBOOK,
    ],
    ids=lambda activity: activity.type,
)
def test_what_runs(activity: Activity) -> None:
    assert told(activity) == []


@pytest.mark.parametrize(
    ("activity", "reason"),
    [
        (copied("text", "gone"), "dataset 'gone': is not in the export"),
        (copied("text", "crm"), "DynamicsEntity"),
        (copied("xml", "orc"), "source.formatSettings.rowTag"),
        (copied("excel", "parquet"), "sheetName, sheetIndex"),
        (copied("sheet", "orc"), "convert with a Copy to delimitedtext, json, parquet first"),
        (copied("text", "sheet"), "Excel files are only read"),
        (copied("sftp", "orc"), "convert with a Copy to delimitedtext, json, parquet first"),
        (copied("ftp", "text"), "FTP is not reached"),
        (copied("text", "api"), "nothing is written by HTTP"),
        (copied("text", "parquet", translator=NESTED), "nested values"),
        (copied("text", "text", source={"storeSettings": {"fileListPath": "a"}}), "fileListPath"),
        (copied("api", "text", source={"paginationRules": {"QueryParameters.n": "RANGE:0:5:1"}}), "QueryParameters.n"),
        (copied("text", "table", sink={"sqlWriterStoredProcedureName": "p"}), "sqlWriterStoredProcedureName"),
        (on("Delete", "table"), "files of a mount"),
        (on("GetMetadata", "text", fieldList=["created"]), "'created': takes exists"),
        (
            Activity("w", "WebActivity", type_properties={"url": "https://a", "authentication": {"type": "ClientCertificate"}}),
            "takes Basic",
        ),
        (Activity("j", "DatabricksJob", type_properties={"jobId": "1"}), "not in an export"),
        (replace(NOTEBOOK, policy=Policy(secure_input=True)), "secureInput"),
        (replace(NOTEBOOK, type_properties={"libraries": [{"cran": {"package": "a"}}]}), "'cran'"),
    ],
    ids=lambda value: value.type if isinstance(value, Activity) else "",
)
def test_what_is_refused(activity: Activity, reason: str) -> None:
    (found,) = told(activity)
    assert reason in found


def test_spark_runs_in_every_loop() -> None:
    in_turn = Activity("in turn", "ForEach", type_properties={"isSequential": True})
    side_by_side = Activity("each", "ForEach")
    for around in ([side_by_side], [in_turn], [Activity("until", "Until")], [side_by_side, replace(side_by_side, name="inner")]):
        for activity in (NOTEBOOK, copied("text", "parquet"), copied("text", "orc")):
            assert told(activity, *around) == []
    secret = Policy(secure_input=True)
    assert told(replace(copied("text", "parquet"), policy=secret), in_turn) == []
    assert "secureInput" in "".join(told(replace(copied("text", "orc"), policy=secret), in_turn))


def test_no_export_is_too_odd_for_a_verdict() -> None:
    chance = random.Random(20130101)
    factory = load(EXPORT)

    def odd(tree: Any) -> Any:
        if chance.random() < 0.1:
            return copy.deepcopy(chance.choice(JUNK))
        if isinstance(tree, dict):
            return {key: odd(inner) for key, inner in tree.items()}
        return [odd(inner) for inner in tree] if isinstance(tree, list) else tree

    def oddly(found: tuple[Resource, ...]) -> tuple[Resource, ...]:
        return tuple(replace(one, properties={**one.properties, "typeProperties": odd(one.type_properties)}) for one in found)

    for _ in range(60):
        there = replace(factory, datasets=oddly(factory.datasets), linked_services=oddly(factory.linked_services))
        for pipeline in factory.pipelines:
            for activity in pipeline.walk():
                properties = {key: odd(value) for key, value in activity.type_properties.items()}
                list(reasons(replace(activity, type_properties=properties), pipeline, there))
