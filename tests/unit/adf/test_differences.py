"""What is known to differ from Data Factory is named for each pipeline that it can touch; the pages of the documentation are made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.adf.export.loader import load
from airflow_ml_provider.adf.report import as_json, as_text
from airflow_ml_provider.adf.support.differences import DIFFERENCES
from airflow_ml_provider.adf.support.tables import PAGES, page
from airflow_ml_provider.cli import main

DOCS = Path(__file__).parents[3] / "docs"
WAIT = {"name": "rest", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}
START = {"pipelineReference": {"referenceName": "load"}}


def loop(kind: str = "ForEach", *inside: Any, **more: Any) -> dict[str, Any]:
    return {
        "name": "loop",
        "type": kind,
        "typeProperties": {"items": "@range(0,2)", "expression": "@true", "activities": list(inside), **more},
    }


def reading(text: str) -> dict[str, Any]:
    return {"name": "read", "type": "SetVariable", "typeProperties": {"variableName": "v", "value": text}}


def web(**properties: Any) -> dict[str, Any]:
    return {"name": "ask", "type": "WebActivity", "typeProperties": {"url": "https://host", "method": "GET", **properties}}


COPY = {"name": "copy", "type": "Copy", "typeProperties": {}}
CASES: list[tuple[str, list[Any], list[str]]] = [
    ("loop in one task", [loop("Until", WAIT)], ["loop"]),
    ("loop in one task", [loop("ForEach", WAIT, isSequential=True)], ["loop"]),
    ("batchCount limits tasks", [loop("ForEach", WAIT, {**WAIT, "name": "more"})], ["loop"]),
    ("waitOnCompletion is missing", [{"name": "call", "type": "ExecutePipeline", "typeProperties": {"pipeline": {"referenceName": "load"}}}], ["call"]),
    ("outputs that are null", [COPY, reading("@activity('copy').output.usedDataIntegrationUnits")], ["read: activity('copy').output.usedDataIntegrationUnits"]),
    ("outputs that are null", [web(), reading("@{activity('Ask').StatusCode}")], ["read: activity('Ask').StatusCode"]),
    ("managed identity", [web(authentication={"type": "MSI", "resource": "https://r"})], ["ask"]),
    ("integration runtime of a request", [web(connectVia={"referenceName": "self-hosted"})], ["ask"]),
]  # fmt: skip


def written(folder: Path, activities: list[Any], trigger: dict[str, Any] | None = None) -> Path:
    for kind, name, properties in (
        ("pipeline", "load", {"activities": activities, "variables": {"v": {"type": "String"}}}),
        *((("trigger", "t", trigger),) if trigger else ()),
    ):
        (folder / kind).mkdir(exist_ok=True)
        (folder / kind / f"{name}.json").write_text(json.dumps({"name": name, "properties": properties}))
    return folder


@pytest.mark.parametrize(("id_", "activities", "touched"), CASES)
def test_a_pipeline_that_a_difference_touches_is_told(
    tmp_path: Path, id_: str, activities: list[Any], touched: list[str]
) -> None:
    factory = load(written(tmp_path, activities))
    report = as_json(factory)
    assert report["pipelines"][0]["differences"] == {id_: touched}
    assert f"differs: {id_}: " in as_text(factory)
    assert report["summary"]["same"] == 0


@pytest.mark.parametrize(
    ("kind", "properties", "id_"),
    [
        ("ScheduleTrigger", {"recurrence": {"frequency": "Day", "interval": 1, "startTime": "2024-01-01T00:00:00Z"}}, "a missed time runs late"),
        ("BlobEventsTrigger", {"scope": "/storageAccounts/lake", "events": ["Microsoft.Storage.BlobCreated"], "blobPathBeginsWith": "/raw/blobs/"}, "blobs are found by listing"),
    ],
)  # fmt: skip
def test_a_trigger_that_a_difference_touches_is_told(tmp_path: Path, kind: str, properties: dict[str, Any], id_: str) -> None:
    written(tmp_path, [WAIT], {"type": kind, "typeProperties": properties, "pipelines": [START]})
    assert as_json(load(tmp_path))["pipelines"][0]["differences"] == {id_: ["t"]}


def test_a_pipeline_without_one_counts_as_the_same(tmp_path: Path) -> None:
    """A ForEach with one activity, a call that says whether it waits, and outputs that are known."""
    call = {"pipeline": {"referenceName": "load"}, "waitOnCompletion": True}
    activities = [
        loop("ForEach", WAIT),
        {"name": "call", "type": "ExecutePipeline", "typeProperties": call},
        COPY,
        reading("@activity('copy').output.rowsCopied"),
    ]
    found = as_json(load(written(tmp_path, activities)))
    assert found["pipelines"][0]["differences"] == {}


def test_every_difference_has_a_case_and_no_two_share_a_name() -> None:
    ids = [one.id for one in DIFFERENCES]
    assert len(set(ids)) == len(ids)
    assert set(ids) - {case[0] for case in CASES} == {
        "utilities that are not there",
        "a missed time runs late",
        "blobs are found by listing",
        "a standing cluster is made",
    }


def test_a_standing_cluster_is_told(tmp_path: Path) -> None:
    notebook = {
        "name": "etl",
        "type": "DatabricksNotebook",
        "linkedServiceName": {"referenceName": "bricks", "type": "LinkedServiceReference"},
        "typeProperties": {"notebookPath": "/etl"},
    }
    written(tmp_path, [notebook])
    service = {"type": "AzureDatabricks", "typeProperties": {"domain": "https://d", "existingClusterId": "0123"}}
    (tmp_path / "linkedService").mkdir()
    (tmp_path / "linkedService" / "bricks.json").write_text(json.dumps({"name": "bricks", "properties": service}))
    assert as_json(load(tmp_path))["pipelines"][0]["differences"] == {"a standing cluster is made": ["etl"]}


def test_a_notebook_that_uses_what_only_synapse_has_is_told(tmp_path: Path) -> None:
    activity = {
        "name": "etl",
        "type": "SynapseNotebook",
        "typeProperties": {"notebook": {"referenceName": "n", "type": "NotebookReference"}},
    }
    written(tmp_path, [activity])
    cells = ["t = mssparkutils.credentials.getToken('Storage')\nmssparkutils.fs.ls('/mnt/x')", "%%csharp\nvar x = 1;"]
    document = {"cells": [{"cell_type": "code", "source": [cell]} for cell in cells], "metadata": {}}
    (tmp_path / "notebook").mkdir()
    (tmp_path / "notebook" / "n.json").write_text(json.dumps({"name": "n", "properties": document}))
    found = as_json(load(tmp_path))["pipelines"][0]["differences"]
    assert found == {"utilities that are not there": ["etl: %%csharp", "etl: mssparkutils.credentials.getToken"]}


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_are_what_the_code_knows(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (DOCS / name).read_text() == page(name), f"run: airflow-ml adf tables {name} > docs/{name}"
    assert main(["adf", "tables", name]) == 0
    assert capsys.readouterr().out == page(name)
