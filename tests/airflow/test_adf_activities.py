"""Activities on files and databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.conftest import Run
from tests.airflow.test_adf_control import check
from tests.airflow.test_adf_semantics import after, pipeline

__all__ = ["pipeline"]


def dataset(folder: Path, name: str, kind: str, service: str, **properties: Any) -> dict[str, str]:
    """Write a dataset down, and refer to it."""
    folder.mkdir(exist_ok=True)
    bag = {"type": kind, "linkedServiceName": {"referenceName": service}, "parameters": {"day": {"type": "String"}}}
    document = {"name": name, "properties": {**bag, "typeProperties": properties}}
    (folder / f"{name}.json").write_text(json.dumps(document))
    return {"referenceName": name, "type": "DatasetReference"}


def activity(name: str, kind: str, *edges: Any, **properties: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "dependsOn": list(edges), "typeProperties": properties}


def test_files_and_rows(pipeline: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "in.csv").write_text("day,rows\nmonday,3\n")
    mount = {"conn_type": "mount", "extra": {"source": str(tmp_path / "lake")}}
    monkeypatch.setenv("AIRFLOW_CONN_THE_LAKE", json.dumps(mount))
    monkeypatch.setenv("AIRFLOW_CONN_THE_DB", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "rows.db")}))
    folder = tmp_path / "dataset"
    source = dataset(folder, "in", "DelimitedText", "the lake", location={"fileName": "in.csv"}, firstRowAsHeader=True)
    place = {"folderPath": {"type": "Expression", "value": "@dataset().day"}, "fileName": "out.csv"}
    sink = {**dataset(folder, "out", "DelimitedText", "the lake", location=place), "parameters": {"day": "@concat('mon', 'day')"}}
    table = dataset(folder, "rows", "AzureSqlTable", "the db", table="days")
    make = "@concat('CREATE TABLE days AS SELECT ''', activity('first').output.firstRow.day, ''' AS day')"
    done = pipeline(
        "files",
        {**activity("copy", "Copy"), "inputs": [source], "outputs": [sink]},
        activity("facts", "GetMetadata", after("copy"), dataset=sink, fieldList=["exists", "size", "itemName"]),
        activity("first", "Lookup", after("facts"), dataset=source),
        {
            **activity("make", "Script", after("first"), scripts=[{"type": "NonQuery", "text": make}]),
            "linkedServiceName": {"referenceName": "the db"},
        },
        activity("read", "Lookup", after("make"), dataset=table, firstRowOnly=False),
        activity("gone", "Delete", after("read"), dataset=sink),
    )
    check(done)
    outputs = {name: done.xcom(name, "adf_record").get("output") for name in ("copy", "facts", "first", "read", "gone")}
    assert outputs["copy"]["filesWritten"] == 1
    assert outputs["facts"] == {"exists": True, "size": 18, "itemName": "out.csv"}
    assert outputs["read"] == {"count": 1, "value": [{"day": "monday"}]}
    assert (outputs["gone"], (tmp_path / "lake" / "monday" / "out.csv").exists()) == ({"filesDeleted": 1}, False)
