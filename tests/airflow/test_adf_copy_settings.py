"""Settings of Copy, Delete, Lookup, Script and GetMetadata that are honoured, each as its page says."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.activities.lookup import _isolation
from airflow_ml_provider.adf.airflow.data.fault_tolerance import copy_files
from airflow_ml_provider.core.errors import AccessDenied, SpecError
from airflow_ml_provider.filesystems.copying import Copier
from airflow_ml_provider.filesystems.mount import MountFileSystem
from tests.airflow.conftest import Run
from tests.airflow.test_adf_activities import activity, copied, dataset, lake
from tests.airflow.test_adf_control import check
from tests.airflow.test_adf_semantics import after, good, pipeline

__all__ = ["lake", "pipeline"]
LOG = {"linkedServiceName": {"referenceName": "the lake", "type": "LinkedServiceReference"}, "path": "logs/"}
OLD = 1577836800  # 2020-01-01


def test_files_that_cannot_be_copied_are_skipped_where_asked(lake: Path) -> None:
    """``skipErrorFile`` ("Fault tolerance of copy activity")."""
    (lake / "a").write_text("a")
    copier = Copier(MountFileSystem())
    targets = {"the_lake/a": "the_lake/out/a", "the_lake/gone": "the_lake/out/gone"}
    done, skipped = copy_files(copier, targets, {"fileMissing": True})
    assert ([one.path for one in done], list(skipped)) == (["the_lake/out/a"], ["the_lake/gone"])
    for skip in ({}, {"fileMissing": False, "fileForbidden": True}):
        with pytest.raises(FileNotFoundError):
            copy_files(copier, targets, skip)

    class Denied(Copier):
        def copy_each(self, targets: Any) -> Any:
            raise AccessDenied("no")

    assert copy_files(Denied(MountFileSystem()), targets, {"fileForbidden": True})[1].keys() == targets.keys()


def test_logs_filters_and_limits(pipeline: Callable[..., Run], tmp_path: Path, lake: Path) -> None:
    """``logSettings`` ("Session log in a Copy activity"), ``enableLogging`` ("Delete activity"), ``scriptBlockExecutionTimeout`` ("Script
    activity"), ``modifiedDatetimeStart`` of folders ("Get Metadata activity") and of older sources.
    """
    (lake / "in").mkdir()
    for name, changed in (("old.txt", OLD), ("new.txt", OLD + 86400 * 365)):
        (lake / "in" / name).write_text(name)
        os.utime(lake / "in" / name, (changed, changed))
    folder = tmp_path / "dataset"
    source = dataset(folder, "in", "Binary", "the lake", location={"folderPath": "in"})
    target = dataset(folder, "out", "Binary", "the lake", location={"folderPath": "out"})
    later = {"modifiedDatetimeStart": "2020-06-01T00:00:00Z"}
    log = {"enableCopyActivityLog": True, "copyActivityLogSettings": {"logLevel": "Info"}, "logLocationSettings": LOG}
    service = {"linkedServiceName": {"referenceName": "the db"}}
    ticking = [{"type": "Query", "text": "SELECT 1"}]
    done = pipeline(
        "settings",
        copied("copy", source, target, source={"recursive": True, **later}, sink={}, logSettings=log),
        copied(
            "skip",
            source,
            target,
            after("copy"),
            source={},
            sink={"copyBehavior": "FlattenHierarchy"},
            skipErrorFile={"fileMissing": True},
        ),
        activity("facts", "GetMetadata", after("copy"), dataset=source, fieldList=["childItems"], storeSettings=later),
        activity("delete", "Delete", after("skip"), dataset=target, enableLogging=True, logStorageSettings=LOG),
        {**activity("fast", "Script", scripts=ticking, scriptBlockExecutionTimeout="00:01:00"), **service},
        copied("refused", source, target, source={"storeSettings": {"partitionRootPath": "x"}}, sink={}),
        good("caught", after("refused", "Failed")),
    )
    check(done)
    outputs = {name: done.xcom(name, "adf_record").get("output") for name in ("copy", "skip", "facts", "delete")}
    assert (outputs["copy"]["filesWritten"], outputs["skip"]["filesWritten"]) == (1, 2)
    assert outputs["facts"] == {"childItems": [{"name": "new.txt", "type": "File"}]}
    assert "partitionRootPath: does not run here" in done.xcom("refused", "adf_record")["error"]["message"]
    written = outputs["copy"]["logFilePath"]
    assert written.startswith("the_lake/logs/copyactivity-logs/copy/") and written.endswith(".txt")
    with (lake / written.partition("/")[2]).open(newline="") as stream:
        header, line = csv.reader(stream)
    assert header == ["Timestamp", "Level", "OperationName", "OperationItem", "Message"]
    assert (line[1:4], "File is successfully copied" in line[4]) == (["Info", "FileWrite", "the_lake/in/new.txt"], True)
    with (lake / outputs["delete"]["logPath"].partition("/")[2]).open(newline="") as stream:
        assert [row[0] for row in csv.reader(stream)] == ["Name", "the_lake/out/new.txt", "the_lake/out/old.txt"]


def test_isolation_levels_are_statements_of_the_database() -> None:
    """``isolationLevel`` ("Copy and transform data in Azure SQL Database", source properties)."""
    hook = SimpleNamespace(conn_type="mssql")
    levels = [_isolation(hook, {"isolationLevel": one}) for one in (None, "ReadCommitted", "ReadUncommitted", "Snapshot")]
    assert levels == ["", "", *(f"SET TRANSACTION ISOLATION LEVEL {one}" for one in ("READ UNCOMMITTED", "SNAPSHOT"))]
    assert _isolation(SimpleNamespace(conn_type="sqlite"), {"isolationLevel": "Serializable"}) == ""
    with pytest.raises(SpecError, match="takes ReadCommitted"):
        _isolation(hook, {"isolationLevel": "Chaos"})
