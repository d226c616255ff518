"""What pipelines do when they run, as Microsoft's documentation says; each test names the page."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

from airflow_ml_provider.adf.airflow.activities.execute_pipeline import arguments_of
from airflow_ml_provider.adf.airflow.activities.lookup import hook_of
from airflow_ml_provider.adf.expressions.properties import resolve
from airflow_ml_provider.adf.model import Parameter, Pipeline
from tests.airflow.conftest import Run, _register
from tests.airflow.test_adf_activities import activity, dataset, lake
from tests.airflow.test_adf_control import append, check, expression, put
from tests.airflow.test_adf_flow import Asked, until
from tests.airflow.test_adf_semantics import after, bad, good, pipeline, when
from tests.airflow.test_adf_triggers import export, recurrence, returning, starting

__all__ = ["export", "lake", "pipeline"]


def test_text_of_type_expression_is_interpolated_or_plain() -> None:
    """ "Expressions can appear anywhere in a JSON string value" and interpolation "@{ ... }" ("Expressions and functions in Azure Data Factory")."""
    state: dict[str, Any] = {"item": {"t": "dbo.x"}, "parameters": {"p": 1}}
    wanted = {
        "SELECT * FROM @{item().t}": "SELECT * FROM dbo.x",
        "SELECT 1": "SELECT 1",
        "@{item().t}": "dbo.x",
        "@item().t": "dbo.x",
        "@pipeline().parameters.p": 1,
        "@@item()": "@item()",
        "a@b.example": "a@b.example",
    }
    assert {text: resolve(expression(text), state) for text in wanted} == wanted
    assert {text: resolve(text, state) for text in wanted} == wanted
    deep = {"a": [expression("@item().t"), {"type": "SecureString", "value": "x@{item().t}"}], "type": "Expression"}
    assert resolve(deep, state) == {"a": ["dbo.x", "xdbo.x"], "type": "Expression"}
    secret = {"type": "AzureKeyVaultSecret", "secretName": "@concat('a', 'b')", "store": {"referenceName": "v"}}
    assert (resolve(secret, {}, str.upper), resolve(secret, {})["secretName"]) == ("AB", "ab")


def test_lookups_loops_and_system_variables(pipeline: Callable[..., Run], tmp_path: Path, lake: Path) -> None:
    """Lookup activity: ``firstRow`` of the first row only; Until activity: "If an inner activity fails, the Until activity doesn't stop";
    "System variables supported by Azure Data Factory": ids of runs.
    """
    hook_of("the_db").run("CREATE TABLE marks (m int)")
    marks = dataset(tmp_path / "dataset", "marks", "AzureSqlTable", "the db", table="marks")
    flaky = when("flaky", bad("not ready"))
    flaky["typeProperties"]["expression"] = expression("@less(length(variables('n')), 2)")
    flaky["dependsOn"] = [after("count")]
    last = {**bad("last fails"), "dependsOn": []}
    ids = "@concat(pipeline().RunId, ' ', pipeline().TriggerId, ' ', pipeline().GroupId)"
    done = pipeline(
        "documented",
        activity("look", "Lookup", dataset=marks),
        activity("look all", "Lookup", dataset=marks, firstRowOnly=False),
        put("query", "q", expression("SELECT @{pipeline().parameters.t}")),
        put("empty", "e", expression("@string(contains(activity('look').output, 'firstRow'))"), after("look")),
        put("ids", "i", expression(ids)),
        put("ids again", "j", expression(ids)),
        put("caller", "c", expression("@string(pipeline()?.TriggeredByPipelineName)")),
        until("poll", "@greaterOrEquals(length(variables('n')), 2)", append("count", "n", "x"), flaky),
        until("hopeless", "@equals(1, 1)", last),
        good("caught", after("hopeless", "Failed")),
        parameters={"t": {"type": "String", "defaultValue": "dbo.x"}},
        variables={**{name: {"type": "String"} for name in "qeijc"}, "n": {"type": "Array"}},
    )
    check(done)
    outputs = {
        name: done.xcom(name, "adf_record").get("output") for name in ("look", "look_all", "query", "empty", "caller", "poll")
    }
    assert (outputs["look"], outputs["look_all"]) == ({}, {"count": 0, "value": []})
    assert [outputs[name]["value"] for name in ("query", "empty", "caller")] == ["SELECT dbo.x", "False", ""]
    assert outputs["poll"] == {"rounds": 2}
    found = [done.xcom(name, "adf_record")["output"]["value"] for name in ("ids", "ids_again")]
    run_id, trigger_id, group_id = found[0].split()
    assert (found[1], group_id) == (found[0], run_id)
    assert [str(uuid.UUID(one)) for one in (run_id, trigger_id)] == [run_id, trigger_id] and run_id != trigger_id
    assert done.dag.task_dict["poll"].retries == 0


def test_each_parameter_of_a_called_pipeline_has_a_value() -> None:
    parameters = {"A": Parameter("String", None, required=True), "b": Parameter("Int", 3), "c": Parameter("Bool", False)}
    called = Pipeline("p", PurePath("p.json"), parameters=parameters)
    assert arguments_of(called, {"a": 7, "C": None, "unknown": 1}) == {"A": 7, "b": 3, "c": None}


def test_a_pipeline_calls_another_one(airflow_db: None, export: Callable[..., dict[str, Any]]) -> None:
    """ "Execute Pipeline activity"; ``TriggeredByPipelineName`` and the others of "System variables supported by Azure Data Factory"; without
    ``waitOnCompletion`` as the SDK documents it: "Default is false".
    """

    def call(name: str, target: str, **more: Any) -> dict[str, Any]:
        properties = {"pipeline": {"referenceName": target, "type": "PipelineReference"}, **more}
        return {"name": name, "type": "ExecutePipeline", "typeProperties": properties}

    told = {
        "who": "@pipeline().TriggeredByPipelineName",
        "by": "@pipeline().TriggeredByPipelineRunId",
        "group": "@pipeline().GroupId",
        "how": "@pipeline().TriggerType",
        "given": "@pipeline().parameters.given",
        "missing": "@pipeline().parameters.missing",
    }
    nightly = recurrence("Day", 1, "2024-01-01T00:00:00Z")
    dags = export(
        {
            "child": {
                "activities": [returning(**told)],
                "parameters": {"given": {"type": "String"}, "missing": {"type": "String"}},
            },
            "nightly": {"activities": [good("a")]},
            "master": {
                "activities": [
                    call("ask", "child", parameters={"given": 5}),
                    call("paused", "nightly", waitOnCompletion=True),
                    {**returning(id="@pipeline().RunId"), "dependsOn": [after("ask"), after("paused", "Failed")]},
                ]
            },
        },
        {"nightly": starting("nightly", "ScheduleTrigger", nightly)},
    )
    for name in ("child", "nightly"):
        _register(dags[name])
    master = Asked(dags["master"], "m")
    check(master)
    assert "DAG 'nightly' of pipeline 'nightly' is paused" in master.xcom("paused", "adf_record")["error"]["message"]
    asked = master.xcom("ask", "adf_record")["output"]
    assert asked.keys() == {"pipelineRunId", "pipelineName", "dagRunId"}  # it did not wait
    child = Asked(dags["child"], asked["dagRunId"])
    master_id = master.xcom("pipeline_end")["id"]
    assert child.xcom("pipeline_end") == {
        "who": "master",
        "by": master_id,
        "group": master_id,
        "how": "PipelineActivity",
        "given": 5,
        "missing": None,
    }
