"""Spark inside loops that are one task: jobs in turn on one cluster, each once, and an end to all of it on a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.operators import inner_spark
from airflow_ml_provider.backends import memory
from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.core.state import ClusterState, JobState
from tests.airflow.conftest import Run
from tests.airflow.test_adf_activities import copied, dataset, lake
from tests.airflow.test_adf_control import VARIABLES, append, check, each, expression
from tests.airflow.test_adf_flow import until
from tests.airflow.test_adf_jobs import job, task
from tests.airflow.test_adf_semantics import after, good, pipeline
from tests.airflow.test_adf_spark import linked_service
from tests.airflow.test_kill import kill_when

__all__ = ["kill_when", "lake", "pipeline"]
THREE = "@createArray('a', 'b', 'c')"


@pytest.fixture
def program(tmp_path: Path) -> dict[str, Any]:
    """An activity that runs a program on a cluster of its own, with the loop's item."""
    (tmp_path / "count.py").write_text("print('counted')\n")
    service = linked_service(tmp_path, "bricks", "AzureDatabricks", newClusterNumOfWorker="2")
    properties = {"pythonFile": "dbfs:/count.py", "parameters": [expression("@string(item())")]}
    return {"name": "count rows", "type": "DatabricksSparkPython", "linkedServiceName": service, "typeProperties": properties}


def jobs(service: Any) -> list[memory.Job]:
    return [made for cluster in service.clusters.values() for made in cluster.jobs.values()]


def args(service: Any) -> list[str]:
    return [made.plan["program"]["args"][0] for made in jobs(service)]


def test_a_sequential_loop_runs_its_jobs_in_turn_on_one_cluster(
    pipeline: Callable[..., Run], service: Any, program: dict[str, Any]
) -> None:
    told = append("told", "all", expression("@activity('count rows').output"), after("count rows"))
    done = pipeline("turns", each("in turn", THREE, program, told, sequential=True), variables=VARIABLES)
    check(done)
    (cluster,) = service.clusters.values()
    assert args(service) == ["a", "b", "c"]
    assert (cluster.plan["workers"], cluster.plan["name"], cluster.state.ended) == (2, "turns", True)
    assert [event["append"] for event in done.xcom("in_turn", "adf_events")["events"]] == [{"runOutput": None}] * 3


def test_rounds_of_an_until_and_loops_in_a_loop(pipeline: Callable[..., Run], service: Any, program: dict[str, Any]) -> None:
    grown = append("grown", "n", "x", after("count rows"))
    fixed = {**program["typeProperties"], "parameters": [expression("@string(length(variables('n')))")]}
    rounds = until("rounds", "@greaterOrEquals(length(variables('n')), 2)", {**program, "typeProperties": fixed}, grown)
    second = {**program, "name": "second"}
    nested = each("outer", "@createArray('x', 'y')", each("inner", "@createArray(1, 2)", second))
    done = pipeline("rounds", rounds, {**nested, "dependsOn": [after("rounds")]}, variables=VARIABLES)
    check(done)
    assert args(service) == ["0", "1", "1", "2", "1", "2"]
    assert [len(cluster.jobs) for cluster in service.clusters.values()] == [2, 2, 2]
    assert all(cluster.state.ended for cluster in service.clusters.values())


def test_a_worker_that_died_in_a_loop_is_followed_by_one_that_finds_its_jobs(
    pipeline: Callable[..., Run], service: Any, program: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dead:
        dead.setattr(inner_spark.Inner, "close", lambda self: None)  # a dead worker ends nothing
        done = pipeline("died", each("in turn", THREE, program, sequential=True))
    jobs(service)[-1].state = JobState.RUNNING
    done.run_again("in_turn", cleared=False)
    assert done.ti("in_turn").state == "success"
    assert args(service) == ["a", "b", "c"]
    assert [cluster.state.ended for cluster in service.clusters.values()] == [True]
    done.run_again("in_turn", cleared=True)
    assert args(service) == ["a", "b", "c"] * 2


def test_a_job_that_fails_is_followed_by_another_one_of_its_policys_retries(
    pipeline: Callable[..., Run], service: Any, program: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = memory.MemoryBackend.submit

    def first_fails(self: Any, cluster: str, *more: Any, **given: Any) -> str:
        made = submit(self, cluster, *more, **given)
        jobs(self.service)[0].plan["outcome"] = "FAILED"
        return made

    monkeypatch.setattr(memory.MemoryBackend, "submit", first_fails)
    again = {**program, "policy": {"retry": 1, "retryIntervalInSeconds": 0}}
    done = pipeline("again", each("in turn", "@createArray('a', 'b')", again, sequential=True))
    check(done)
    assert args(service) == ["a", "a", "b"]
    assert [made.state for made in jobs(service)] == [JobState.FAILED, JobState.SUCCEEDED, JobState.SUCCEEDED]


def test_a_kill_cancels_the_job_and_ends_the_loop_and_its_cluster(
    pipeline: Callable[..., Run], service: Any, program: dict[str, Any], kill_when: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_STEPS_UNTIL_DONE", 10**9)
    kill_when(lambda: service.calls["poll"] > 1)
    program["policy"] = {"retry": 5, "retryIntervalInSeconds": 60}
    started = time.monotonic()
    done = pipeline("killed", each("in turn", THREE, program, good("next", after("count rows", "Failed")), sequential=True))
    assert done.states["in_turn"] == "failed"
    assert time.monotonic() - started < 60
    assert [made.state for made in jobs(service)] == [JobState.CANCELLED]
    (cluster,) = service.clusters.values()
    assert cluster.state.ended


def test_a_standing_cluster_outlives_the_loop(pipeline: Callable[..., Run], service: Any, tmp_path: Path, program: Any) -> None:
    program["linkedServiceName"] = linked_service(tmp_path, "there", "AzureDatabricks", existingClusterId="0812-x")
    check(pipeline("there", each("in turn", THREE, program, sequential=True)))
    (cluster,) = service.clusters.values()
    assert (len(cluster.jobs), cluster.state.ended) == (3, False)


def test_a_databricks_job_in_a_loop(pipeline: Callable[..., Run], service: Any, tmp_path: Path) -> None:
    nightly = job(tmp_path, task("a"), task("b", "a"), task("rescue", "a", run_if="AT_LEAST_ONE_FAILED"))
    nightly["typeProperties"] = {"jobId": "7", "jobParameters": {"day": expression("@item()")}}
    told = append("told", "all", expression("@activity('nightly').output.tasks"), after("nightly"))
    done = pipeline("jobs", each("in turn", "@createArray('x', 'y')", nightly, told, sequential=True), variables=VARIABLES)
    check(done)
    (cluster,) = service.clusters.values()
    days = [(made.plan["name"], made.plan["program"]["args"][1]) for made in cluster.jobs.values()]
    assert days == [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")]
    assert cluster.state.ended
    outputs = [event["append"] for event in done.xcom("in_turn", "adf_events")["events"]]
    assert outputs == [{"a": {"runOutput": None}, "b": {"runOutput": None}, "rescue": {}}] * 2


def test_a_copy_that_spark_does_in_a_loop(pipeline: Callable[..., Run], service: Any, tmp_path: Path, lake: Path) -> None:
    (lake / "in.csv").write_text("n\n1\n")
    text = dataset(
        tmp_path / "dataset", "text", "DelimitedText", "the lake", location={"fileName": "in.csv"}, firstRowAsHeader=True
    )
    table = dataset(tmp_path / "dataset", "table", "Orc", "the lake", location={"folderPath": expression("@dataset().day")})
    copy = copied("convert", text, {**table, "parameters": {"day": expression("@item()")}})
    check(pipeline("copies", each("in turn", "@createArray('x', 'y')", copy, sequential=True)))
    asked = [json.loads(one) for one in args(service)]
    assert [one["settle"]["target"].rpartition("/")[2] for one in asked] == ["x", "y"]
    assert len(service.clusters) == 1


def test_an_activity_in_a_loop_without_its_file_or_with_a_setting_without_meaning_fails_with_its_reason(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path, program: dict[str, Any]
) -> None:
    scripts = linked_service(tmp_path, "scripts", "AzureDatabricks", newClusterInitScripts=["dbfs:/a.sh"])
    told = append("told", "all", expression("@activity('count rows').error.message"), after("count rows", "Failed"))
    odd = {**program, "linkedServiceName": scripts}
    done = pipeline("odd", each("in turn", "@createArray('a')", odd, told, sequential=True), variables=VARIABLES)
    check(done)
    assert "newClusterInitScripts" in done.xcom("in_turn", "adf_events")["events"][0]["append"]
    assert not service.clusters


@pytest.mark.soak
def test_rounds_on_real_spark(
    pipeline: Callable[..., Run], tmp_path: Path, spark_root: Path, program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "spark_cluster", "extra": {"backend": "local", "staging_uri": str(spark_root)}}
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CLUSTER_DEFAULT", json.dumps(connection))
    program["linkedServiceName"] = linked_service(tmp_path, "alone", "AzureDatabricks", newClusterNumOfWorker="0")
    text = "# Databricks notebook source\ndbutils.notebook.exit(str(spark.range(int(dbutils.widgets.get('n'))).count()))\n"
    (tmp_path / "grow.py").write_text(text)
    asked = {"notebookPath": "/grow", "baseParameters": {"n": expression("@string(add(2, length(variables('n'))))")}}
    grow = {**program, "type": "DatabricksNotebook", "typeProperties": asked}
    told = append("told", "n", expression("@activity('count rows').output.runOutput"), after("count rows"))
    done = pipeline("real_rounds", until("grow", "@contains(variables('n'), '3')", grow, told), variables=VARIABLES)
    check(done)
    assert [event["append"] for event in done.xcom("grow", "adf_events")["events"]] == ["2", "3"]
    live = [one for one in LocalBackend(spark_root).owned() if one.name == "real_rounds" and one.state is ClusterState.RUNNING]
    assert not live


def test_activities_in_a_loop_have_the_timeout_of_their_policy(
    pipeline: Callable[..., Run], service: Any, program: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_STEPS_UNTIL_DONE", 10**9)
    policy = {"timeout": "00:00:01", "retry": 1, "retryIntervalInSeconds": 0}
    told = append("told", "all", expression("@activity('count rows').error"), after("count rows", "Failed"))
    done = pipeline(
        "slow", each("in turn", "@createArray('a')", {**program, "policy": policy}, told, sequential=True), variables=VARIABLES
    )
    check(done)
    assert [made.state for made in jobs(service)] == [JobState.CANCELLED] * 2
    (error,) = (event["append"] for event in done.xcom("in_turn", "adf_events")["events"])
    assert (error["message"], error["errorCode"]) == ("activity 'count rows': the timeout of 1 s has passed", "2110")


def test_an_untils_timeout_ends_what_runs_in_it(
    pipeline: Callable[..., Run], service: Any, program: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_STEPS_UNTIL_DONE", 10**9)
    fixed = {**program, "typeProperties": {"pythonFile": "dbfs:/count.py"}, "policy": {"timeout": "01:00:00", "retry": 9}}
    started = time.monotonic()
    done = pipeline("late", until("late", "@equals(1, 2)", fixed, timeout="00:00:02"), good("caught", after("late", "Failed")))
    check(done)
    assert time.monotonic() - started < 30
    assert [made.state for made in jobs(service)] == [JobState.CANCELLED]
    assert (
        "the timeout of 2 s has passed, and its expression was still false" in done.xcom("late", "adf_record")["error"]["message"]
    )
