"""Loops, calls and conditions of pipelines, inside each other, run by Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.dag_file import adf_dags
from airflow_ml_provider.adf.airflow.policies import policy_fields
from airflow_ml_provider.adf.model import Activity, Policy
from tests.airflow.conftest import Run, _register
from tests.airflow.test_adf_control import VARIABLES, append, check, each, expression, put
from tests.airflow.test_adf_semantics import after, bad, good, pipeline, when
from tests.airflow.test_adf_triggers import Scheduled, export, lake, returning, starting, stored

__all__ = ["export", "lake", "pipeline"]


def until(name: str, condition: str, *activities: dict[str, Any], timeout: str = "0.01:00:00", edges: Any = ()) -> dict[str, Any]:
    inside = {"expression": expression(condition), "timeout": timeout, "activities": list(activities)}
    return {"name": name, "type": "Until", "dependsOn": list(edges), "typeProperties": inside}


def sift(name: str, items: str, condition: str, *edges: Any) -> dict[str, Any]:
    inside = {"items": expression(items), "condition": expression(condition)}
    return {"name": name, "type": "Filter", "dependsOn": list(edges), "typeProperties": inside}


def choose(name: str, on: str, **cases: list[dict[str, Any]]) -> dict[str, Any]:
    found = [{"value": value, "activities": activities} for value, activities in cases.items()]
    return {"name": name, "type": "Switch", "typeProperties": {"on": expression(on), "cases": found}}


def returned(**texts: str) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"type": "Expression", "content": text}} for key, text in texts.items()]


def test_containers_inside_containers(pipeline: Callable[..., Run]) -> None:
    """Each pair of containers that Data Factory allows, and some that it does not."""
    odd = sift("odd", "@pipeline().parameters.items", "@equals(mod(item(),2),1)")
    grow = until(
        "grow", "@greaterOrEquals(length(variables('n')),3)", append("one", "n", "x"), {**bad("off"), "state": "Inactive"}
    )
    lost = until("lost", "@equals(1,1)", bad("breaks"))
    late = until("late", "@equals(1,2)", {**good("a second"), "typeProperties": {"waitTimeInSeconds": 1}}, timeout="00:00:01")
    inner = each("inner", "@createArray(1,2)", append("pair", "all", expression("@string(item())")))
    branch = choose("branch", "@string(item())", **{"1": [good("is 1")], "3": [append("three", "all", "three")]})
    asleep = {**when("asleep", bad("unseen")), "state": "Inactive", "onInactiveMarkAs": "Skipped"}
    done = pipeline(
        "nested",
        odd,
        each("over odd", "@activity('odd').output.Value", branch, inner, after_=(after("odd"),)),
        when("choice", grow),
        lost,
        late,
        asleep,
        good("caught", after("lost", "Failed"), after("late", "Failed"), after("asleep", "Skipped")),
        put(
            "answer",
            "pipelineReturnValue",
            returned(all="@variables('all')", n="@length(variables('n'))", kept="@activity('odd').output.FilteredItemsCount"),
            *(after("over odd"), after("choice"), after("caught")),
            setSystemVariable=True,
        ),
        parameters={"items": {"type": "Array", "defaultValue": [1, 2, 3]}},
        variables=VARIABLES,
    )
    check(done)
    found = done.xcom("pipeline_end")
    assert (sorted(found["all"]), found["n"], found["kept"]) == (["1", "1", "2", "2", "three"], 3, 2)
    assert [done.states[f"over_odd.each.branch.is_1[{index}]"] for index in (0, 1)] == ["success", "skipped"]
    states = done.states
    assert [states[name] for name in ("lost", "late", "asleep.end", "asleep.unseen")] == [
        "failed",
        "failed",
        "skipped",
        "skipped",
    ]
    assert "still false" in done.xcom("late", "adf_record")["error"]["message"]


class Asked(Scheduled):
    """A run of a given id and configuration, run to its end."""

    def __init__(self, dag: Any, run_id: str, conf: dict[str, Any] | None = None) -> None:
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from airflow.utils.types import DagRunTriggeredByType, DagRunType

        _register(dag)
        self.dag = dag
        with create_session() as session:
            self._run = session.query(DagRun).filter_by(dag_id=dag.dag_id, run_id=run_id).one_or_none()
        if self._run is None:
            how: Any = {"run_type": DagRunType.MANUAL, "triggered_by": DagRunTriggeredByType.TEST, "state": "queued"}
            self._run = stored(dag).create_dagrun(run_id=run_id, run_after=datetime.now(tz=UTC), conf=conf, **how)
        with create_session() as session:
            self._run = session.merge(self._run)
            self.finish(session)


def test_a_pipeline_calls_others(airflow_db: None, export: Callable[..., dict[str, Any]]) -> None:
    call = {"pipeline": {"referenceName": "Called", "type": "PipelineReference"}, "parameters": {"n": expression("@add(1,1)")}}
    ask = {"name": "ask", "type": "ExecutePipeline", "typeProperties": {**call, "waitOnCompletion": True}}
    go = {"name": "go", "type": "ExecutePipeline", "typeProperties": {**call, "waitOnCompletion": False}}
    answer = "@activity('ask').output.pipelineReturnValue.double"
    tell = returning(answer=answer, run="@activity('go').output.dagRunId", id="@activity('go').output.pipelineRunId")
    dags = export(
        {
            "called": {
                "activities": [returning(double="@mul(2,pipeline().parameters.n)", id="@pipeline().RunId")],
                "parameters": {"n": {"type": "Int", "defaultValue": 0}},
                "concurrency": 4,
            },
            "caller": {"activities": [ask, go, {**tell, "dependsOn": [after("ask"), after("go")]}]},
        },
        {},
    )
    assert dags["called"].max_active_runs == 4
    _register(dags["called"])
    Asked(dags["called"], "r__ask.-1.1.0", {"n": 21})  # the run that the caller will find, as after the loss of a worker
    caller = Asked(dags["caller"], "r")
    check(caller)
    found = caller.xcom("pipeline_end")
    assert (found["answer"], found["run"]) == (42, "r__go.-1.1.0")
    started = Asked(dags["called"], "r__go.-1.1.0")
    assert (started._run.conf["n"], started.xcom("pipeline_end")) == (2, {"double": 4, "id": found["id"]})


def test_a_call_fails_with_what_it_calls(airflow_db: None, export: Callable[..., dict[str, Any]]) -> None:
    call = {
        "name": "ask",
        "type": "ExecutePipeline",
        "typeProperties": {"pipeline": {"referenceName": "broken"}, "waitOnCompletion": True},
    }
    dags = export(
        {"broken": {"activities": [bad("a")]}, "asking": {"activities": [call, good("caught", after("ask", "Failed"))]}}, {}
    )
    assert Asked(dags["broken"], "s__ask.-1.1.0").state == "failed"
    asking = Asked(dags["asking"], "s")
    assert (asking.state, asking.states["ask"], asking.states["caught"]) == ("success", "failed", "success")
    assert asking.xcom("ask", "adf_record")["error"]["errorCode"] == "2108"


def test_validation_waits_for_what_it_asks(pipeline: Callable[..., Run], tmp_path: Path, lake: Path) -> None:
    for kind, name, properties in (
        ("linkedService", "lake", {"type": "AzureBlobFS", "typeProperties": {}}),
        (
            "dataset",
            "file",
            {"type": "Binary", "linkedServiceName": {"referenceName": "lake"}, "typeProperties": {"location": FILE}},
        ),
    ):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"{name}.json").write_text(json.dumps({"name": name, "properties": properties}))
    (lake / "in" / "there.csv").write_text("12345")

    def ask(name: str, file: str, size: int) -> dict[str, Any]:
        dataset = {"referenceName": "file", "type": "DatasetReference", "parameters": {"name": file}}
        return {"name": name, "type": "Validation", "typeProperties": {"dataset": dataset, "minimumSize": size, **SOON}}

    done = pipeline("valid", ask("there", "there.csv", 5), ask("small", "there.csv", 6), ask("missing", "no.csv", 0))
    assert [done.states[name] for name in ("there", "small", "missing")] == ["success", "failed", "failed"]


FILE = {"type": "AzureBlobFSLocation", "fileSystem": "raw", "folderPath": "in", "fileName": expression("@dataset().name")}
SOON = {"timeout": "0.00:00:01", "sleep": 1}


def test_a_policy_is_the_tasks(pipeline: Callable[..., Run]) -> None:
    refused = {"url": "http://127.0.0.1:9/", "method": "GET"}
    policy = {"retry": 1, "retryIntervalInSeconds": 0, "timeout": "0.00:00:30"}
    done = pipeline("tried", {"name": "web", "type": "WebActivity", "typeProperties": refused, "policy": policy})
    assert (done.state, done.ti("web").try_number) == ("failed", 2)
    task = done.dag.task_dict["web"]
    assert (task.execution_timeout, task.retry_delay) == (timedelta(seconds=30), timedelta(0))


@pytest.mark.parametrize(
    ("kind", "policy", "fields"),
    [
        ("Copy", Policy(), {"retries": 0, "retry_delay": timedelta(seconds=30), "execution_timeout": timedelta(hours=12)}),
        (
            "Copy",
            Policy("7.00:00:00", "3", 60),
            {"retries": 3, "retry_delay": timedelta(seconds=60), "execution_timeout": timedelta(7)},
        ),
        ("Until", Policy(), {"retries": 0}),
        ("ExecutePipeline", Policy(retry=3), {"retries": 0}),
    ],
)
def test_activities_without_a_policy_have_no_limit(kind: str, policy: Policy, fields: dict[str, Any]) -> None:
    assert policy_fields(Activity("a", kind, policy=policy)) == fields


def test_what_stands_around_activities_is_never_tried_again(export: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    export({"plain": {"activities": [each("all", "@range(0,2)", good("a")), when("either", good("b")), good("alone")]}}, {})
    (dag,) = adf_dags(tmp_path, default_args={"retries": 5}).values()
    assert {task.task_id: task.retries for task in dag.tasks if task.retries} == {}


def test_activities_in_a_circle_make_no_dag_and_the_others_do(export: Callable[..., dict[str, Any]]) -> None:
    dags = export(
        {"circle": {"activities": [good("a", after("b")), good("b", after("a"))]}, "line": {"activities": [good("a")]}}, {}
    )
    assert list(dags) == ["line"]


def test_a_window_that_failed_is_handled_again_as_its_trigger_asks(
    airflow_db: None, export: Callable[..., dict[str, Any]]
) -> None:
    hourly = {"frequency": "Hour", "interval": 1, "startTime": "2024-05-06T00:00:00Z", "maxConcurrency": 1}
    policy = {"retryPolicy": {"count": 1, "intervalInSeconds": 0}}
    dags = export(
        {"unsteady": {"activities": [bad("a")]}, "unsteady__again": {"activities": [good("a")]}},
        {"windows": starting("unsteady", "TumblingWindowTrigger", {**hourly, **policy})},
        start_from="2024-05-06",
    )
    assert list(dags) == ["unsteady", "unsteady__again", "unsteady__again_2"]
    dag, clears = dags["unsteady"], dags["unsteady__again_2"]
    assert not clears.is_paused_upon_creation
    _register(clears)
    first = Scheduled(dag)
    run_id = first._run.run_id
    assert first.state == "failed"
    again = Asked(clears, f"from_{run_id}__again_1")
    assert (again._run.conf, again.state) == ({"dag_id": "unsteady", "run_id": run_id}, "success")
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        cleared = session.query(DagRun).filter_by(dag_id="unsteady", run_id=run_id).one()
        assert (cleared.state, [ti.state for ti in cleared.get_task_instances(session=session)]) == ("queued", [None, None])
        assert cleared.data_interval_start == datetime(2024, 5, 6, tzinfo=UTC)
    second = Asked(dag, run_id)
    assert (second.state, second.ti("pipeline_end").try_number) == ("failed", 2)
    with create_session() as session:
        assert session.query(DagRun).filter_by(dag_id=clears.dag_id).count() == 1
