"""Each pipeline of an export is one DAG: none takes the place of another one, nor of a name in the DAG file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.dag_file import adf_dags
from airflow_ml_provider.adf.export.loader import load
from airflow_ml_provider.adf.report import as_json
from tests.airflow.conftest import dags_of


def _resource(file: Path, name: str, properties: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"name": name, "properties": properties}))


def _wait(name: str) -> dict[str, Any]:
    return {"name": name, "type": "Wait", "typeProperties": {"waitTimeInSeconds": 0}}


def _call(pipeline: str) -> dict[str, Any]:
    return {"name": "call", "type": "ExecutePipeline", "typeProperties": {"pipeline": {"referenceName": pipeline}}}


def _factory(folder: Path, trigger_kind: str, properties: dict[str, Any]) -> None:
    _resource(folder / "pipeline" / "load.json", "load", {"activities": [_wait(f"{folder.name} only")]})
    _resource(folder / "pipeline" / "main.json", f"main {folder.name}", {"activities": [_call("Load")]})
    started = [{"pipelineReference": {"referenceName": "load"}}]
    trigger = {"type": trigger_kind, "pipelines": started, "typeProperties": properties}
    _resource(folder / "trigger" / "start.json", "start", trigger)


def test_pipelines_of_one_name_are_a_dag_each(tmp_path: Path) -> None:
    """Names are unique within a data factory only ("Azure Data Factory - naming rules"): a folder may hold several factories."""
    _factory(tmp_path / "dev", "CustomEventsTrigger", {"scope": "/topics/dev", "events": ["placed"]})
    _factory(tmp_path / "prod", "CustomEventsTrigger", {"scope": "/topics/prod", "events": ["placed"]})
    _resource(tmp_path / "prod" / "pipeline" / "alone.json", "alone", {"activities": []})
    dags = adf_dags(tmp_path, prefix="f_")
    assert sorted(dags) == ["f_alone", "f_dev__load", "f_main_dev", "f_main_prod", "f_prod__load"]
    assert [list(dags[name].task_dict) for name in ("f_dev__load", "f_prod__load")] == [
        ["event", "dev_only", "pipeline_end"],
        ["event", "prod_only", "pipeline_end"],
    ]
    # a name means the nearest pipeline, and a trigger starts the one of its own factory
    calls: list[Any] = [dags[name].task_dict["call"] for name in ("f_main_dev", "f_main_prod")]
    assert [task.place.dag_id_of("load") for task in calls] == ["f_dev__load", "f_prod__load"]
    assets = [list(dags[name].task_dict["event"].assets) for name in ("f_dev__load", "f_prod__load")]  # type: ignore[attr-defined]
    assert assets == [["f_dev__start"], ["f_prod__start"]]
    told = as_json(load(tmp_path))
    assert {one["dag_id"] for one in told["pipelines"]} == {name.removeprefix("f_") for name in dags}


def test_a_second_pipeline_of_one_name_in_one_file_is_told(tmp_path: Path) -> None:
    pipelines = [
        {"name": "[concat(parameters('f'), '/load')]", "type": "Microsoft.DataFactory/factories/pipelines", "properties": one}
        for one in ({"activities": [_wait("a")]}, {"activities": [_wait("b")]})
    ]
    template = {"$schema": "deploymentTemplate.json#", "contentVersion": "1.0.0.0", "resources": pipelines}
    (tmp_path / "arm.json").write_text(json.dumps(template))
    found = load(tmp_path)
    assert len(found.pipelines) == 1
    assert [str(one) for one in found.problems if one.fatal] == [
        "arm.json: load: a second pipeline named 'load' in this file: left out"
    ]


def test_dags_are_found_without_names_in_the_dag_file(tmp_path: Path, airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("load", "json"):
        _resource(tmp_path / "export" / f"{name}.json", name, {"activities": [_wait("a")]})
    file = tmp_path / "dags" / "factory.py"
    file.parent.mkdir()
    file.write_text(
        "import json\n"
        "from airflow_ml_provider.adf.airflow.dag_file import adf_dags\n\n\n"
        "def load():\n    return json.loads('[1]')\n\n\n"
        "made = adf_dags('../export')\n"
        "assert load() == [1] and sorted(made) == ['json', 'load']\n"
        "del made\n"
    )
    assert sorted(dags_of(file)) == ["json", "load"]
