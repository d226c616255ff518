"""Databricks jobs whose tasks repeat a task, or run another job, on the memory backend."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.backends.memory import MemoryBackend
from tests.airflow.conftest import Run
from tests.airflow.test_adf_control import check, each, expression
from tests.airflow.test_adf_jobs import job, task
from tests.airflow.test_adf_semantics import after, good, pipeline
from tests.processes import eventually

__all__ = ["pipeline"]
ITEM = ["{{input.of}}", "{{input}}", "{{job.parameters.day}}", "{{task.name}}"]


def every(root: Path, key: str, inputs: str, repeated: dict[str, Any], *before: str, **asked: Any) -> dict[str, Any]:
    """A For each, and the program of what it repeats."""
    (root / "jobs").mkdir(exist_ok=True)
    (root / "jobs" / f"{repeated['task_key']}.py").write_text("print('done')\n")
    nothing = {"job_cluster_key": None, "spark_python_task": None}
    return task(key, *before, **nothing, for_each_task={"inputs": inputs, "task": repeated, **asked})


def runs_job(key: str, job_id: int, *before: str, **parameters: str) -> dict[str, Any]:
    asked = {"job_id": job_id, "job_parameters": parameters}
    return task(key, *before, job_cluster_key=None, spark_python_task=None, run_job_task=asked)


def other_job(root: Path, *tasks: dict[str, Any], **parameters: str) -> None:
    """Write job 8 down."""
    (root / "databricksJob").mkdir(exist_ok=True)
    (root / "jobs").mkdir(exist_ok=True)
    for one in tasks:
        (root / "jobs" / f"{one['task_key']}.py").write_text("print('done')\n")
    declared = [{"name": name, "default": default} for name, default in parameters.items()]
    cluster = {"job_cluster_key": "main", "new_cluster": {"num_workers": 3}}
    settings = {"name": "inner", "tasks": tasks, "parameters": declared, "job_clusters": [cluster]}
    (root / "databricksJob" / "inner.json").write_text(json.dumps({"job_id": 8, "settings": settings}))


def args_of(service: Any) -> list[list[list[str]]]:
    """The arguments of every program, by cluster."""
    return [sorted(made.plan["program"]["args"] for made in cluster.jobs.values()) for cluster in service.clusters.values()]


def python(key: str, *parameters: str) -> dict[str, Any]:
    return {"python_file": f"/Workspace/jobs/{key}.py", "parameters": list(parameters)}


@pytest.mark.parametrize("concurrency", [1, 5])
def test_a_for_each_repeats_its_task_on_the_jobs_cluster(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path, concurrency: int
) -> None:
    inputs = '[{"of": "a", "n": 1}, {"of": "{{job.name}}"}]'
    loop = every(tmp_path, "all", inputs, task("one", spark_python_task=python("one", *ITEM)), "first", concurrency=concurrency)
    done = pipeline(f"looped{concurrency}", job(tmp_path, task("first"), loop, task("last", "all")))
    check(done)
    (found,) = args_of(service)
    day = f"looped{concurrency}"
    assert [args for args in found if args[0] != "--day"] == [
        ["a", '{"of": "a", "n": 1}', day, "one"],
        ["nightly", '{"of": "nightly"}', day, "one"],
    ]
    assert len(found) == 4
    (cluster,) = service.clusters.values()
    assert cluster.state.ended
    assert done.dag.task_dict["nightly.all.each.one.run"].max_active_tis_per_dagrun == concurrency
    outputs = done.xcom("nightly.end", "adf_record")["output"]["tasks"]
    assert outputs["all"] == {"count": 2}


def test_items_that_come_one_by_one_share_a_cluster_of_their_own(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path
) -> None:
    own = {"job_cluster_key": None, "new_cluster": {"num_workers": 1}, "spark_python_task": python("one", "{{input}}")}
    inputs = "{{job.parameters.list}}"
    loop = every(tmp_path, "all", inputs, task("one", **own))
    nightly = job(tmp_path, loop)
    nightly["typeProperties"] = {"jobId": 7, "jobParameters": {"list": expression("@createArray('x', 2, true)")}}
    check(pipeline("in_turn", nightly))
    assert args_of(service) == [[["2"], ["true"], ["x"]]]
    assert all(cluster.state.ended for cluster in service.clusters.values())


@pytest.mark.parametrize("concurrency", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_one_item_that_fails_fails_the_for_each_and_the_others_run(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path, concurrency: int
) -> None:
    own = {"job_cluster_key": None, "new_cluster": {"num_workers": 1}}
    repeated = task("one", **own, spark_python_task={"python_file": "/Workspace/jobs/{{input}}.py"})
    loop = every(tmp_path, "all", '["one", "lost", "one"]', repeated, concurrency=concurrency)
    handles = task("handles", "all", run_if="ALL_FAILED")
    done = pipeline(f"broken{concurrency}", job(tmp_path, loop, task("unreached", "all"), handles))
    assert done.state == "failed"
    assert sum(len(cluster.jobs) for cluster in service.clusters.values()) == 3
    states = {key: done.states[f"nightly.{key}.finish"] for key in ("unreached", "handles")}
    assert states == {"unreached": "skipped", "handles": "success"}


def test_no_item_begins_after_the_for_eachs_timeout(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = MemoryBackend.submit

    def slowly(self: Any, *more: Any, **given: Any) -> str:
        time.sleep(3)
        return submit(self, *more, **given)

    monkeypatch.setattr(MemoryBackend, "submit", slowly)
    loop = every(tmp_path, "all", "[1, 2]", task("one", spark_python_task=python("one", "{{input}}")))
    done = pipeline("late", job(tmp_path, {**loop, "timeout_seconds": 2}))
    assert (done.state, done.states["nightly.all"]) == ("failed", "failed")
    assert not any(cluster.jobs for cluster in service.clusters.values())
    assert all(cluster.state.ended for cluster in service.clusters.values())


def test_two_activities_that_run_one_job_share_no_cluster(pipeline: Callable[..., Run], service: Any, tmp_path: Path) -> None:
    one = job(tmp_path, task("a"), task("b", "a"))
    done = pipeline("twice", one, {**one, "name": "again"})
    check(done)
    assert [len(cluster.jobs) for cluster in service.clusters.values()] == [2, 2]
    assert {cluster.plan["tags"]["adf_service"] for cluster in service.clusters.values()} == {"nightly/7 main", "again/7 main"}


@pytest.mark.parametrize(("inputs", "told"), [("{{job.parameters.day}}", "takes a JSON array"), ("[1]", "input.of")])
def test_inputs_that_are_no_array_and_keys_that_are_not_there(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path, inputs: str, told: str, log: Callable[[], str]
) -> None:
    loop = every(tmp_path, "all", inputs, task("one", spark_python_task=python("one", "{{input.of}}")))
    done = pipeline("wrong", job(tmp_path, loop), good("caught", after("nightly", "Failed")))
    check(done)
    assert told in log()
    assert not any(cluster.jobs for cluster in service.clusters.values())


@pytest.mark.parametrize("concurrency", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_another_job_has_its_own_parameters_and_clusters(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path, concurrency: int
) -> None:
    told = ["{{job.id}} {{job.name}}", "{{job.parameters.month}}", "{{job.parameters.day}}", "{{job.parameters.kept}}"]
    other_job(tmp_path, task("first", spark_python_task=python("first", *told)), task("then", "first"), month="", kept="kept")
    inner = runs_job("inner", 8, "first", month="{{job.parameters.day}} 5", day="never")
    repeated = runs_job("each", 8, month="{{input}}")
    loop = every(tmp_path, "all", '["x", "y"]', repeated, concurrency=concurrency)
    day = f"nested{concurrency}"
    done = pipeline(day, job(tmp_path, task("first"), inner, loop, task("last", "inner")))
    check(done)
    firsts = sorted(one for found in args_of(service) for one in found if one[0] == "8 inner")
    assert firsts == [["8 inner", month, day, "kept"] for month in (f"{day} 5", "x", "y")]
    shapes = sorted((cluster.plan["workers"], len(cluster.jobs)) for cluster in service.clusters.values())
    assert shapes == ([(2, 2), (3, 2), (3, 4)] if concurrency == 1 else [(2, 2), (3, 2), (3, 2), (3, 2)])
    assert all(cluster.state.ended for cluster in service.clusters.values())
    outputs = done.xcom("nightly.end", "adf_record")["output"]["tasks"]
    assert outputs["inner"]["tasks"].keys() == {"first", "then"}
    assert done.states["nightly.inner.end_of_7_inner_8_main"] == "success"


@pytest.mark.parametrize("sequential", [pytest.param(False, marks=pytest.mark.soak), True])
def test_another_job_that_fails_fails_its_task(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path, sequential: bool
) -> None:
    other_job(tmp_path, task("lost"), task("after lost", "lost"))
    (tmp_path / "jobs" / "lost.py").unlink()
    repeated = task("one", spark_python_task=python("one", "{{input}}"))
    loop = every(tmp_path, "loop", "[1, 2]", repeated, concurrency=2)
    nightly = job(tmp_path, runs_job("inner", 8), loop, task("rescue", "inner", run_if="ALL_FAILED"), task("never", "inner"))
    done = pipeline("nested_failure", each("each", "@createArray('x')", nightly, sequential=sequential))
    assert done.state == "failed"
    ran = sorted(one.partition(" of ")[0] for found in args_of(service) for one in (args[-1] for args in found))
    assert ran == ["1", "2", "rescue"]
    assert all(cluster.state.ended for cluster in service.clusters.values())


def test_values_of_a_notebook_are_the_items_of_a_for_each_on_real_spark(
    pipeline: Callable[..., Run], tmp_path: Path, spark_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "spark_cluster", "extra": {"backend": "local", "staging_uri": str(spark_root)}}
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CLUSTER_DEFAULT", json.dumps(connection))
    plain = {"job_cluster_key": None, "spark_python_task": None}
    told = {
        "notebook_path": "/told",
        "base_parameters": {"table": "{{input.table}}", "rows": "{{tasks.lists.values.rows}}"},
    }
    loop = every(
        tmp_path, "all", "{{tasks.lists.values.tables}}", task("told", **plain, notebook_task=told), "lists", concurrency=2
    )
    nightly = job(tmp_path, task("lists", **plain, notebook_task={"notebook_path": "/lists"}), loop)
    header = "# Databricks notebook source\n"
    tables = "[{'table': name} for name in ('a', 'b')]"
    text = f"dbutils.jobs.taskValues.set('tables', {tables})\ndbutils.jobs.taskValues.set('rows', spark.range(5).count())\n"
    (tmp_path / "lists.py").write_text(f"{header}{text}")
    (tmp_path / "told.py").write_text(
        f"{header}dbutils.notebook.exit(dbutils.widgets.get('table') + dbutils.widgets.get('rows'))\n"
    )
    done = pipeline("real_loop", nightly)
    check(done)
    assert [done.xcom("nightly.all.each.told.run", map_index=index) for index in range(2)] == ["a5", "b5"]
    eventually(lambda: not [one for one in LocalBackend(spark_root).owned() if one.tags.get("adf_service") == "7 serverless"])
