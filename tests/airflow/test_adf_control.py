"""Containers, variables and values between activities."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.bases.operator import BaseOperator

from airflow_ml_provider.adf.airflow import hosted_activities
from airflow_ml_provider.adf.airflow.dag_file import adf_dags, register
from airflow_ml_provider.adf.airflow.hosted_activities import Hosted
from tests.airflow.conftest import Run
from tests.airflow.test_adf_semantics import after, bad, good, pipeline, when

__all__ = ["pipeline"]


def expression(text: str) -> dict[str, str]:
    return {"type": "Expression", "value": text}


def each(
    name: str, items: str, *activities: dict[str, Any], sequential: bool = False, after_: tuple[Any, ...] = ()
) -> dict[str, Any]:
    inside = {"items": expression(items), "isSequential": sequential, "activities": list(activities)}
    return {"name": name, "type": "ForEach", "dependsOn": list(after_), "typeProperties": inside}


def append(name: str, variable: str, value: Any, *edges: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": "AppendVariable",
        "dependsOn": list(edges),
        "typeProperties": {"variableName": variable, "value": value},
    }


def put(name: str, variable: str, value: Any, *edges: Any, **more: Any) -> dict[str, Any]:
    properties = {"variableName": variable, "value": value, **more}
    return {"name": name, "type": "SetVariable", "dependsOn": list(edges), "typeProperties": properties}


def check(done: Run) -> None:
    """The run succeeded; if not, why."""
    records = {name: found for name, found in done.xcoms().items() if name[2] == "adf_record"}
    assert done.state == "success", "\n".join(map(str, [*done.states.items(), *records.items()]))


VARIABLES = {"all": {"type": "Array"}, "n": {"type": "Array", "defaultValue": []}}
ITEMS = {"items": {"type": "Array", "defaultValue": [1, 2, 3]}}


def test_loops_variables_and_return_values(pipeline: Callable[..., Run]) -> None:
    returned = [{"key": "seen", "value": {"type": "Expression", "content": "@variables('all')"}}]
    done = pipeline(
        "loops",
        each("Each one", "@pipeline().parameters.items", append("add", "all", expression("@item()"))),
        each(
            "in turn",
            "@pipeline().parameters.items",
            append("more", "all", expression("@item()")),
            sequential=True,
            after_=(after("Each one"),),
        ),
        each("partly", "@pipeline().parameters.items", _if_two(), after_=(after("in turn"),)),
        good("handled", after("partly", "Failed")),
        each("none", "@pipeline().parameters.nothing", good("never")),
        put("answer", "pipelineReturnValue", returned, after("handled"), setSystemVariable=True),
        parameters={**ITEMS, "nothing": {"type": "Array", "defaultValue": []}},
        variables=VARIABLES,
    )
    check(done)
    seen = done.xcom("pipeline_end")["seen"]
    assert (sorted(seen[:3]), seen[3:]) == ([1, 2, 3], [1, 2, 3])
    assert [done.states[f"partly.each.two.end[{index}]"] for index in range(3)] == ["success", "failed", "success"]
    assert [done.states[f"partly.each.two.break[{index}]"] for index in range(3)] == ["skipped", "failed", "skipped"]
    assert done.states["none.end"] == "success"


def _if_two() -> dict[str, Any]:
    return {
        **when("two", bad("break")),
        "typeProperties": {"expression": expression("@equals(item(),2)"), "ifTrueActivities": [bad("break")]},
    }


def test_containers_that_are_not_reached_and_inactive_activities(pipeline: Callable[..., Run]) -> None:
    inactive = {**bad("off"), "state": "Inactive", "onInactiveMarkAs": "Failed"}
    done = pipeline(
        "unreached",
        good("first"),
        {**when("skipped", good("inside")), "dependsOn": [after("first", "Failed")]},
        {**each("skipped loop", "@pipeline().parameters.items", good("looped")), "dependsOn": [after("first", "Failed")]},
        {**when("broken", good("unseen")), "typeProperties": {"expression": 5, "ifTrueActivities": [good("unseen")]}},
        good("caught", after("broken", "Failed"), after("skipped", "Skipped"), after("skipped loop", "Skipped")),
        inactive,
        good("told", after("off", "Failed")),
        {
            "name": "choice",
            "type": "Switch",
            "typeProperties": {
                "on": "b",
                "cases": [{"value": "a", "activities": [bad("one")]}, {"value": "b", "activities": [good("two")]}],
            },
        },
        parameters=ITEMS,
    )
    check(done)
    states = done.states
    assert [states[name] for name in ("skipped.end", "skipped.inside", "skipped_loop.end", "broken.end", "broken.unseen")] == [
        *("skipped", "skipped", "skipped", "failed", "skipped")
    ]
    assert (states["off"], states["caught"], states["told"]) == ("failed", "success", "success")
    assert (states["choice.one"], states["choice.two"], states["choice.end"]) == ("skipped", "success", "success")


def test_what_cannot_run_fails_with_its_reason_when_it_is_reached(pipeline: Callable[..., Run], log: Callable[[], str]) -> None:
    flow = {"name": "flow", "type": "ExecuteDataFlow", "typeProperties": {}}
    done = pipeline(
        "flows", flow, good("b", after("flow", "Failed")), {**flow, "name": "later", "dependsOn": [after("b", "Failed")]}
    )
    assert (done.states["flow"], done.states["later"]) == ("failed", "skipped")
    assert "ExecuteDataFlow does not run here" in done.xcom("flow", "adf_record")["error"]["message"]


def test_a_spark_activity_has_a_cluster_of_its_own(pipeline: Callable[..., Run], service: Any, tmp_path: Path) -> None:
    for folder in ("linkedService", "jobs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "jobs" / "count.py").write_text("print('counted')\n")
    properties = {
        "type": "AzureDatabricks",
        "typeProperties": {"newClusterNumOfWorker": "1:3", "newClusterSparkConf": {"spark.a": "b"}},
    }
    document = {"name": "bricks", "properties": properties}
    (tmp_path / "linkedService" / "bricks.json").write_text(json.dumps(document))
    spark = {
        "name": "count rows",
        "type": "DatabricksSparkPython",
        "linkedServiceName": {"referenceName": "bricks", "type": "LinkedServiceReference"},
        "typeProperties": {"pythonFile": "dbfs:/jobs/count.py", "parameters": ["--day", "1"]},
        "policy": {"retry": 1, "timeout": "0.00:10:00"},
    }
    unreached = {**spark, "name": "unreached", "dependsOn": [after("count rows", "Failed")]}
    missing = {**spark, "name": "missing", "typeProperties": {"pythonFile": "dbfs:/jobs/none.py"}}
    done = pipeline(
        "spark",
        spark,
        unreached,
        missing,
        good("caught", after("missing", "Failed")),
        good("last", after("unreached", "Skipped")),
    )
    check(done)
    assert done.states["count_rows.cluster.terminate_cluster"] == "success"
    assert {done.states[f"unreached.{task}"] for task in ("prepare", "cluster.create_cluster", "cluster.run", "finish")} == {
        "skipped"
    }
    assert done.states["missing.finish"] == "failed"
    assert done.dag.task_dict["count_rows.cluster.run"].retries == 1
    assert done.xcom("count_rows.finish", "adf_record")["output"].keys() == {"runOutput"}
    (plan,) = [found.plan for found in service.clusters.values()]
    assert (plan["workers"], plan["max_workers"], plan["spark_conf"]) == (1, 3, {"spark.a": "b"})


def test_triggers_and_parameters_are_the_dags_own(tmp_path: Path) -> None:
    for folder in ("pipeline", "trigger"):
        (tmp_path / folder).mkdir()
    parameters = {
        "n": {"type": "Int", "defaultValue": 3},
        "at": {"type": "String"},
        "odd": {"type": "Bool", "defaultValue": "yes"},
    }
    load = {"name": "load", "properties": {"activities": [good("a")], "parameters": parameters, "concurrency": 2}}
    (tmp_path / "pipeline" / "load.json").write_text(json.dumps(load))
    recurrence = {"frequency": "Hour", "interval": 1, "startTime": "2024-05-07T06:20:00Z", "timeZone": "UTC"}
    starts = [{"pipelineReference": {"referenceName": "load"}, "parameters": {"at": "@trigger().scheduledTime"}}]
    trigger = {
        "name": "hourly",
        "properties": {"type": "ScheduleTrigger", "pipelines": starts, "typeProperties": {"recurrence": recurrence}},
    }
    (tmp_path / "trigger" / "hourly.json").write_text(json.dumps(trigger))
    dag = adf_dags(tmp_path, prefix="adf_")["adf_load"]
    assert (dag.max_active_runs, dag.catchup) == (2, False)
    assert dag.schedule.summary == "every hour from 2024-05-07 06:20 UTC"
    assert (dag.params["n"], dag.params.get_param("n").schema["type"][:2], dag.params["odd"]) == (3, ["integer", "null"], "yes")


def test_an_operator_of_the_users_takes_an_activitys_place(pipeline: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hosted_activities.REGISTERED, "executedataflow", lambda hosted: None)
    made: list[str] = []

    class FlowOperator(BaseOperator):
        template_fields = ("properties",)

        def __init__(self, *, properties: Any, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.properties = properties

        def execute(self, context: Any) -> Any:
            made.append(self.properties["dataflow"]["referenceName"])
            return {"rows": self.properties["rows"]}

    def flow(hosted: Hosted) -> FlowOperator:
        return FlowOperator(task_id="run", properties=hosted.properties, **hosted.fields)

    register("ExecuteDataFlow", flow)
    asked = {"dataflow": {"referenceName": "clean"}, "rows": expression("@add(1, 2)")}
    done = pipeline(
        "registered",
        {"name": "flow", "type": "ExecuteDataFlow", "typeProperties": asked, "policy": {"retry": 2}},
        {"name": "unreached", "type": "ExecuteDataFlow", "typeProperties": asked, "dependsOn": [after("flow", "Failed")]},
        put("told", "n", expression("@createArray(activity('flow').output.rows)"), after("flow")),
        put(
            "answer",
            "pipelineReturnValue",
            [{"key": "n", "value": {"type": "Expression", "content": "@variables('n')"}}],
            after("told"),
        ),
        variables=VARIABLES,
    )
    check(done)
    assert made == ["clean"]
    assert (done.states["unreached.finish"], done.dag.task_dict["flow.run"].retries) == ("skipped", 2)
    assert done.xcom("flow.finish", "adf_record")["output"] == {"rows": 3}
    assert done.xcom("pipeline_end") == {"n": [3]}


def test_the_history_of_a_variable_does_not_grow_with_each_round(pipeline: Callable[..., Run]) -> None:
    rounds = each(
        "loop",
        "@range(0, 30)",
        put("last", "v", expression("@string(item())")),
        append("kept", "all", expression("@variables('v')"), after("last")),
        put("none left", "all", expression("@createArray(last(variables('all')))"), after("kept")),
        sequential=True,
    )
    done = pipeline("history", rounds, variables={"v": {"type": "String"}, "all": {"type": "Array"}})
    check(done)
    events = done.xcom("loop", "adf_events")["events"]
    assert [(one["name"], one["value"]) for one in events] == [("v", "29"), ("all", ["29"])]
