"""Databricks jobs inside pipelines, on the memory backend."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.backends.memory import MemoryBackend
from airflow_ml_provider.core.state import JobState
from tests.airflow.conftest import Run
from tests.airflow.test_adf_control import check, each, expression
from tests.airflow.test_adf_semantics import after, good, pipeline
from tests.airflow.test_adf_spark import linked_service
from tests.processes import eventually

__all__ = ["pipeline"]
DONE, FAILS = "{{job.parameters.day}}", {"outcome": "FAILED"}


def task(key: str, *before: str, **more: Any) -> dict[str, Any]:
    python = {"python_file": f"/Workspace/jobs/{key}.py", "parameters": ["--day", DONE, "--of", "{{task.name}} of {{job.name}}"]}
    edges = [{"task_key": one} for one in before]
    found = {"task_key": key, "depends_on": edges, "job_cluster_key": "main", "spark_python_task": python, **more}
    return {name: value for name, value in found.items() if value is not None}


def job(root: Path, *tasks: dict[str, Any], timeout: int = 0, **more: Any) -> dict[str, Any]:
    """Write job 7 and its programs down; the activity that runs it."""
    for folder in ("databricksJob", "jobs"):
        (root / folder).mkdir(exist_ok=True)
    for one in tasks:
        (root / "jobs" / f"{one['task_key']}.py").write_text("print('done')\n")
    cluster = {"job_cluster_key": "main", "new_cluster": {"num_workers": 2, "node_type_id": "Standard_D8ds_v5"}}
    settings = {"name": "nightly", "tasks": tasks, "job_clusters": [cluster], "parameters": [{"name": "day", "default": "today"}]}
    settings["timeout_seconds"] = timeout
    (root / "databricksJob" / "nightly.json").write_text(json.dumps({"job_id": 7, "settings": settings}))
    properties = {"jobId": 7, "jobParameters": {"day": expression("@pipeline().Pipeline")}}
    return {"name": "nightly", "type": "DatabricksJob", "typeProperties": properties, **more}


def test_the_tasks_of_a_job_share_its_cluster_and_run_in_its_order(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path
) -> None:
    alone = {"job_cluster_key": None, "new_cluster": {"num_workers": 1}}
    bricks = linked_service(tmp_path, "bricks", "AzureDatabricks")
    nightly = job(tmp_path, task("ingest"), task("clean", "ingest", max_retries=1), task("alone", "ingest", **alone))
    notebook = {"notebook_path": "/told", "base_parameters": {"day": "never", "at": "{{job.start_time.year}}"}}
    told = task("told", "clean", "alone", run_if="NONE_FAILED", spark_python_task=None, notebook_task=notebook)
    rescue = task("rescue", "clean", run_if="AT_LEAST_ONE_FAILED")
    job(tmp_path, task("ingest"), task("clean", "ingest", max_retries=1), task("alone", "ingest", **alone), told, rescue)
    (tmp_path / "told.py").write_text("# Databricks notebook source\nprint(1)\n")
    done = pipeline("jobs", {**nightly, "linkedServiceName": bricks}, good("last", after("nightly")))
    check(done)
    shared, own = service.clusters.values()
    assert (shared.plan["workers"], own.plan["workers"]) == (2, 1)
    assert (shared.plan["worker"]["instance_type"], shared.plan["tags"]["adf_service"]) == ("Standard_D8ds_v5", "7 main")
    assert [made.plan["name"] for made in shared.jobs.values()] == ["run"] * 3
    ingest, _, notebook_job = (made.plan["program"] for made in shared.jobs.values())
    assert ingest["args"] == ["--day", "jobs", "--of", "ingest of nightly"]
    assert "'day': 'jobs'" in str(notebook_job) or '"day": "jobs"' in str(notebook_job)
    assert (done.states["nightly.rescue.finish"], done.states["nightly.rescue.cluster"]) == ("skipped", "skipped")
    assert done.dag.task_dict["nightly.clean.run"].retries == 1
    assert shared.state.ended and own.state.ended
    assert done.states["nightly.end_of_7_main"] == "success"
    assert done.xcom("nightly.end", "adf_record")["output"]["tasks"].keys() == {"ingest", "clean", "alone", "told", "rescue"}


def test_a_failed_task_fails_the_job_unless_what_follows_handles_it(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path
) -> None:
    (tmp_path / "jobs").mkdir()
    nightly = job(
        tmp_path,
        task("breaks"),
        task("unreached", "breaks"),
        task("handles", "breaks", run_if="ALL_FAILED"),
        task("always", "unreached", "handles", run_if="ALL_DONE"),
    )
    (tmp_path / "jobs" / "breaks.py").unlink()
    done = pipeline("rescued", nightly, good("last", after("nightly")))
    check(done)
    states = {key: done.states[f"nightly.{key}.finish"] for key in ("breaks", "unreached", "handles", "always")}
    assert states == {"breaks": "failed", "unreached": "skipped", "handles": "success", "always": "success"}
    assert all(cluster.state.ended for cluster in service.clusters.values())
    nightly = job(tmp_path, task("breaks"), task("unreached", "breaks"))
    (tmp_path / "jobs" / "breaks.py").unlink()
    done = pipeline("broken", nightly, good("caught", after("nightly", "Failed")))
    check(done)
    assert (done.states["nightly.end"], done.states["nightly.end_of_7_main"]) == ("failed", "success")


def compares(key: str, op: str, left: str, right: str) -> dict[str, Any]:
    return task(key, job_cluster_key=None, spark_python_task=None, condition_task={"op": op, "left": left, "right": right})


@pytest.mark.parametrize("sequential", [False, True])
def test_a_condition_excludes_the_branch_that_is_not_taken(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path, sequential: bool
) -> None:
    def of(key: str, outcome: str) -> dict[str, Any]:
        return {**task(key), "depends_on": [{"task_key": "asks", "outcome": outcome}]}

    tasks = [
        compares("asks", "EQUAL_TO", "{{job.parameters.day}}", "x"),
        of("yes", "true"),
        of("no", "false"),
        task("after yes", "yes"),
        task("after no", "no"),
        task("joins", "yes", "no", run_if="NONE_FAILED"),
    ]
    nightly = job(tmp_path, *tasks)
    nightly["typeProperties"] = {"jobId": "7", "jobParameters": {"day": expression("@item()")}}
    done = pipeline("conditions", each("each", "@createArray('x', 'y')", nightly, sequential=sequential))
    check(done)
    ran = sorted(
        (made.plan["program"]["args"][1], made.plan["program"]["args"][3].partition(" of ")[0])
        for cluster in service.clusters.values()
        for made in cluster.jobs.values()
    )
    assert ran == [("x", "after yes"), ("x", "joins"), ("x", "yes"), ("y", "after no"), ("y", "joins"), ("y", "no")]


@pytest.mark.parametrize(
    ("op", "left", "right", "outcome"),
    [
        ("EQUAL_TO", "12.0", "12", "false"),
        ("NOT_EQUAL", "12.0", "12", "true"),
        ("GREATER_THAN_OR_EQUAL", "12.0", "12", "true"),
        ("LESS_THAN", "9", "12", "true"),
        ("GREATER_THAN", "x", "12", None),
    ],
)
def test_conditions_compare_texts_or_numbers(
    pipeline: Callable[..., Run], tmp_path: Path, op: str, left: str, right: str, outcome: str | None
) -> None:
    nightly = job(tmp_path, compares("asks", op, left, right))
    done = pipeline("compared", nightly)
    found = done.xcom("nightly.asks", "adf_record")
    assert (found["output"].get("outcome"), done.state) == (outcome, "success" if outcome else "failed")


def test_a_job_for_each_item_has_a_cluster_each(pipeline: Callable[..., Run], service: Any, tmp_path: Path) -> None:
    nightly = job(tmp_path, task("a"), task("b", "a"))
    nightly["typeProperties"] = {"jobId": "7", "jobParameters": {"day": expression("@item()")}}
    done = pipeline("items", each("each", "@createArray('x', 'y')", nightly))
    check(done)
    assert len(service.clusters) == 2
    for cluster in service.clusters.values():
        assert len({made.plan["program"]["args"][1] for made in cluster.jobs.values()}) == 1
        assert [made.state for made in cluster.jobs.values()] == [JobState.SUCCEEDED] * 2
        assert cluster.state.ended


@pytest.mark.soak
def test_no_task_begins_after_the_jobs_timeout(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = MemoryBackend.submit

    def slowly(self: Any, *more: Any, **given: Any) -> str:
        time.sleep(5)
        return submit(self, *more, **given)

    monkeypatch.setattr(MemoryBackend, "submit", slowly)
    done = pipeline("timeouts", job(tmp_path, task("first"), task("second", "first"), task("third", "second"), timeout=4))
    assert done.state == "failed"
    states = [done.states[f"nightly.{key}.finish"] for key in ("first", "second", "third")]
    assert states == ["success", "failed", "skipped"]
    assert all(cluster.state.ended and len(cluster.jobs) == 1 for cluster in service.clusters.values())


def test_a_job_without_its_definition_fails_with_the_files_name(pipeline: Callable[..., Run], tmp_path: Path) -> None:
    nightly = {"name": "nightly", "type": "DatabricksJob", "typeProperties": {"jobId": "8"}}
    done = pipeline("unknown", nightly, good("caught", after("nightly", "Failed")))
    check(done)
    assert "databricksJob/8.json" in done.xcom("nightly", "adf_record")["error"]["message"]


@pytest.mark.soak
def test_a_job_on_real_spark_hands_values_on(
    pipeline: Callable[..., Run], tmp_path: Path, spark_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "spark_cluster", "extra": {"backend": "local", "staging_uri": str(spark_root)}}
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CLUSTER_DEFAULT", json.dumps(connection))
    plain = {"job_cluster_key": None, "spark_python_task": None}
    rows = {"notebook_path": "/rows"}
    told = {"notebook_path": "/told", "base_parameters": {"rows": "{{tasks.rows.values.rows}}", "day": "never"}}
    read = {"file": {"path": "/read.sql"}}
    nightly = job(
        tmp_path,
        task("rows", **plain, notebook_task=rows),
        task("told", "rows", **plain, notebook_task=told),
        task("read", "rows", **plain, sql_task=read),
    )
    header = "# Databricks notebook source\n"
    (tmp_path / "rows.py").write_text(f"{header}dbutils.jobs.taskValues.set('rows', spark.range(5).count())\n")
    got = "dbutils.jobs.taskValues.get('rows', 'rows'), dbutils.widgets.get('rows'), dbutils.widgets.get('day')"
    (tmp_path / "told.py").write_text(f"{header}dbutils.notebook.exit(str([{got}]))\n")
    (tmp_path / "read.sql").write_text("SELECT :day AS day\n")
    done = pipeline("real", nightly)
    check(done)
    outputs = done.xcom("nightly.end", "adf_record")["output"]["tasks"]
    assert outputs["told"]["runOutput"] == "[5, '5', 'real']"
    assert outputs["read"]["runOutput"]["rows"] == [["real"]]
    eventually(lambda: not [one for one in LocalBackend(spark_root).owned() if one.tags.get("adf_service") == "7 serverless"])
