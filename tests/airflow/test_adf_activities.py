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


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder behind the mount ``the_lake``; a database is behind ``the_db``."""
    folder = tmp_path / "lake"
    folder.mkdir()
    mount = {"conn_type": "mount", "extra": {"source": str(folder)}}
    monkeypatch.setenv("AIRFLOW_CONN_THE_LAKE", json.dumps(mount))
    monkeypatch.setenv("AIRFLOW_CONN_THE_DB", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "rows.db")}))
    return folder


def copied(name: str, origin: Any, target: Any, *edges: Any, **properties: Any) -> dict[str, Any]:
    return {**activity(name, "Copy", *edges, **properties), "inputs": [origin], "outputs": [target]}


def test_files_and_rows(pipeline: Callable[..., Run], tmp_path: Path, lake: Path) -> None:
    (lake / "in.csv").write_text("day,rows\nmonday,3\n")
    folder = tmp_path / "dataset"
    text = {"firstRowAsHeader": True}
    source = dataset(folder, "in", "DelimitedText", "the lake", location={"fileName": "in.csv"}, **text)
    place = {"folderPath": {"type": "Expression", "value": "@dataset().day"}, "fileName": "out.csv"}
    sink = {
        **dataset(folder, "out", "DelimitedText", "the lake", location=place, **text),
        "parameters": {"day": "@concat('mon', 'day')"},
    }
    table = dataset(folder, "rows", "AzureSqlTable", "the db", table="days")
    database = {"linkedServiceName": {"referenceName": "the db"}}
    make = "@concat('CREATE TABLE days AS SELECT ''', activity('first').output.firstRow.day, ''' AS day')"
    facts = ["exists", "size", "itemName", "itemType", "structure", "columnCount", "contentMD5"]
    done = pipeline(
        "files",
        copied("copy", source, sink),
        activity("facts", "GetMetadata", after("copy"), dataset=sink, fieldList=facts),
        activity("first", "Lookup", after("facts"), dataset=source),
        {**activity("make", "Script", after("first"), scripts=[{"type": "NonQuery", "text": make}]), **database},
        activity("columns", "GetMetadata", after("make"), dataset=table, fieldList=["exists", "columnCount"]),
        activity("read", "Lookup", after("make"), dataset=table, firstRowOnly=False),
        {
            **activity("asked", "Script", after("make"), scripts=[{"type": "Query", "text": "SELECT count(*) AS n FROM days"}]),
            **database,
        },
        activity("gone", "Delete", after("read"), dataset=sink),
    )
    check(done)
    names = ("copy", "facts", "columns", "read", "asked", "gone")
    outputs = {name: done.xcom(name, "adf_record").get("output") for name in names}
    assert outputs["copy"]["filesWritten"] == 1
    structure = [{"name": "day", "type": "String"}, {"name": "rows", "type": "String"}]
    assert outputs["facts"] == {
        "exists": True,
        "size": 18,
        "itemName": "out.csv",
        "itemType": "File",
        "structure": structure,
        "columnCount": 2,
        "contentMD5": "priyGkdU6g1433IU5WSnHw==",
    }
    assert outputs["columns"] == {"exists": True, "columnCount": 1}
    assert outputs["read"] == {"count": 1, "value": [{"day": "monday"}]}
    assert outputs["asked"] == {"resultSetCount": 1, "resultSets": [{"rowCount": 1, "rows": [{"n": 1}]}]}
    assert (outputs["gone"], (lake / "monday" / "out.csv").exists()) == ({"filesDeleted": 1}, False)


def test_rows_between_files_and_tables(pipeline: Callable[..., Run], tmp_path: Path, lake: Path) -> None:
    (lake / "raw" / "2013").mkdir(parents=True)
    (lake / "raw" / "a.csv").write_text('carrier|name\nUA|"United | Air"\nAA|\n')
    (lake / "raw" / "2013" / "b.csv").write_text("carrier|name\nB6|JetBlue\n")
    (lake / "raw" / "b.txt").write_text("not this one")
    folder, text = tmp_path / "dataset", {"columnDelimiter": "|", "firstRowAsHeader": True}
    raw = dataset(folder, "raw", "DelimitedText", "the lake", location={"folderPath": "raw"}, **text)
    kept = dataset(folder, "kept", "DelimitedText", "the lake", location={"folderPath": "kept"}, **text)
    table = dataset(folder, "carriers", "AzureSqlTable", "the db", schema="main", table="carriers")
    packed = dataset(folder, "packed", "Parquet", "the lake", location={"folderPath": "out", "fileName": "c.parquet"})
    lines = dataset(folder, "lines", "Json", "the lake", location={"folderPath": "out"})
    chosen = {"type": "DelimitedTextSource", "storeSettings": {"wildcardFileName": "*.csv", "recursive": True}}
    columns = [
        {"source": {"name": "carrier"}, "sink": {"name": "code"}},
        {"source": {"name": "name"}, "sink": {"name": "name"}},
    ]
    more = {**chosen, "additionalColumns": [{"name": "run", "value": "@pipeline().Pipeline"}]}
    new = {"type": "AzureSqlSink", "tableOption": "autoCreate"}
    done = pipeline(
        "rows",
        copied("bytes", raw, kept, source=chosen, sink={"storeSettings": {"copyBehavior": "FlattenHierarchy"}}),
        copied("load", raw, table, source=more, sink=new, translator={"type": "TabularTranslator", "mappings": columns}),
        copied("again", table, table, after("load"), source={"sqlReaderQuery": "SELECT * FROM carriers WHERE code = 'UA'"}),
        copied("pack", table, packed, after("again"), sink={"type": "ParquetSink"}),
        copied("lines", packed, table, after("pack"), sink={"preCopyScript": "DELETE FROM carriers"}),
        copied("out", table, lines, after("lines"), sink={"formatSettings": {"filePattern": "arrayOfObjects"}}),
        activity("look", "Lookup", after("pack"), dataset=packed, firstRowOnly=False),
    )
    check(done)
    assert sorted(path.name for path in (lake / "kept").iterdir()) == ["a.csv", "b.csv"]
    rows = [
        {"code": "B6", "name": "JetBlue", "run": "rows"},
        {"code": "UA", "name": "United | Air", "run": "rows"},
        {"code": "AA", "name": None, "run": "rows"},
        {"code": "UA", "name": "United | Air", "run": "rows"},
    ]
    loaded = done.xcom("load", "adf_record")["output"]
    assert (loaded["rowsRead"], loaded["rowsCopied"]) == (3, 3)
    assert done.xcom("look", "adf_record")["output"] == {"count": 4, "value": rows}
    assert json.loads((lake / "out" / "out.json").read_text()) == rows
