"""A task's process builds only the DAG that it runs: Airflow's "Dynamic DAG Generation", optimizing DAG parsing delays during execution."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.definitions.context import _AIRFLOW_PARSING_CONTEXT_DAG_ID

from airflow_ml_provider.adf.airflow.dag_file import adf_dags
from airflow_ml_provider.adf.export import cache
from airflow_ml_provider.adf.model import PackedPipelines


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path / "temporary"))
    cache._loaded.cache_clear()
    folder = tmp_path / "export"
    for name in ("load", "store"):
        write(folder / "pipeline" / f"{name}.json", {"name": name, "properties": {"activities": [wait("pause")]}})
    hourly = {"frequency": "Hour", "interval": 1, "startTime": "2024-05-07T06:00:00Z", "retryPolicy": {"count": 2}}
    runs = {"pipelineReference": {"referenceName": "load", "type": "PipelineReference"}}
    properties = {"type": "TumblingWindowTrigger", "runtimeState": "Started", "pipeline": runs, "typeProperties": hourly}
    write(folder / "trigger" / "hourly.json", {"name": "hourly", "properties": properties})
    return folder


def wait(name: str) -> dict[str, Any]:
    return {"name": name, "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}


def write(file: Path, document: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))


def test_the_dag_processor_sees_all_dags(export: Path) -> None:
    assert set(adf_dags(export)) == {"load", "store", "load__again"}


@pytest.mark.parametrize(("wanted", "tasks"), [("load", "pause"), ("store", "pause"), ("load__again", "again")])
def test_a_task_gets_its_own_dag_only(export: Path, wanted: str, tasks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, wanted)
    dags = adf_dags(export)
    assert list(dags) == [wanted] and tasks in dags[wanted].task_dict


def test_a_dag_of_another_call_in_the_file_makes_none(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, "elsewhere")
    assert adf_dags(export) == {}


def test_another_process_reads_the_cache_and_not_the_export(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adf_dags(export)
    cache._loaded.cache_clear()
    with monkeypatch.context() as patched:
        patched.delattr(cache, "load")
        assert set(adf_dags(export)) == {"load", "store", "load__again"}
    write(export / "pipeline" / "store.json", {"name": "store", "properties": {"activities": [wait("longer")]}})
    assert "longer" in adf_dags(export)["store"].task_dict


def test_pipelines_of_the_cache_are_unpacked_one_by_one(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adf_dags(export)
    cache._loaded.cache_clear()
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, "store")
    assert list(adf_dags(export)) == ["store"]
    pipelines = cache.load_cached(export).pipelines
    assert isinstance(pipelines, PackedPipelines)
    assert [one.name for one in pipelines._unpacked.values()] == ["store"]
    assert [one.name for one in pipelines] == [one.name for one in pipelines.names] == ["load", "store"]


def test_a_broken_entry_is_made_again(export: Path, tmp_path: Path) -> None:
    adf_dags(export)
    (entry,) = (tmp_path / "temporary").rglob("*.pickle")
    entry.write_bytes(b"broken")
    cache._loaded.cache_clear()
    assert "load" in adf_dags(export)
    assert entry.read_bytes() != b"broken"


def test_a_folder_that_others_can_write_is_not_used(export: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "temporary" / f"airflow-ml-adf-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    assert "load" in adf_dags(export)
    assert not list(folder.iterdir())
    assert "with mode 0700" in caplog.text
