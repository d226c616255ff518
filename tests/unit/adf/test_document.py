"""Exports on disk, leniently read; their verdicts and reports."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ml_provider.adf.errors import DocumentError
from airflow_ml_provider.adf.export.lenient_json import read_json
from airflow_ml_provider.adf.export.loader import load
from airflow_ml_provider.adf.export.pipeline_reader import read_pipeline
from airflow_ml_provider.adf.model import Condition, Edge
from airflow_ml_provider.adf.report import as_json, as_text, render
from airflow_ml_provider.adf.support.verdicts import RUNS, judge
from airflow_ml_provider.cli import main

WAIT = {"name": "wait", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}


def step(name: str, kind: str = "Wait", after: dict[str, list[str]] | None = None, **properties: Any) -> dict[str, Any]:
    edges = [{"activity": other, "dependencyConditions": conditions} for other, conditions in (after or {}).items()]
    return {"name": name, "type": kind, "dependsOn": edges, "typeProperties": properties}


def pipeline(name: str, *activities: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"name": name, "properties": {"activities": list(activities), **properties}}


IN = {"referenceName": "in", "type": "DatasetReference"}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    inner = step("inner", "IfCondition", expression={"value": "@bool(1)", "type": "Expression"}, ifTrueActivities=[step("deep")])
    documents = {
        "pipeline/main.json": pipeline(
            "main",
            {**step("copy", "Copy"), "Policy": {"Retry": 2, "SecureInput": True}, "inputs": [IN], "outputs": [IN]},
            step("each", "ForEach", {"copy": ["Succeeded", "skipped"]}, items="@json('[]')", activities=[inner]),
            {**step("off", "ExecuteDataFlow"), "state": "Inactive", "onInactiveMarkAs": "Failed"},
            parameters={"day": {"type": "string"}, "n": {"type": "int", "defaultValue": 3}},
            variables={"v": {"type": "Array"}},
            concurrency=2,
            folder={"name": "A/B"},
        ),
        "pipeline/flows.json": pipeline(
            "flows", step("flow", "ExecuteDataFlow", {"gone": []}), step("bad", seconds="@nothing()")
        ),
        "pipeline/circle.json": pipeline("circle", step("a", after={"b": []}), step("b", after={"a": []})),
        "pipeline/old.json": pipeline("old", WAIT, start="2016-01-01", end="2017-01-01"),
        "dataset/in.json": {
            "name": "in",
            "properties": {"type": "Json", "linkedServiceName": {"referenceName": "store"}, "typeProperties": {"location": {}}},
        },
        "linkedService/store.json": {"name": "store", "properties": {"type": "AzureBlobFS", "typeProperties": {}}},
        "trigger/daily.json": {"name": "daily", "properties": {"type": "ScheduleTrigger", "pipelines": []}},
        "factory/f.json": {"name": "f", "properties": {"globalParameters": {"env": {"type": "string", "value": "dev"}}}},
        "package.json": {"name": "something", "version": "1"},
    }
    for name, document in documents.items():
        tmp_path.joinpath(name).parent.mkdir(exist_ok=True)
        tmp_path.joinpath(name).write_text(json.dumps(document))
    return tmp_path


def test_a_git_folder(export: Path) -> None:
    factory = load(export)
    main_pipeline = factory.pipeline("MAIN")
    assert main_pipeline
    copy, each, off = main_pipeline.activities
    assert (copy.policy.retry, copy.policy.secure_input, copy.inputs[0].name) == (2, True, "in")
    assert each.depends_on == (Edge("copy", frozenset({Condition.SUCCEEDED, Condition.SKIPPED})),)
    assert [activity.path for activity in each.within()] == [("each", "inner"), ("each", "inner", "deep")]
    assert "activities" not in each.type_properties
    assert (off.active, off.on_inactive_mark_as) == (False, Condition.FAILED)
    assert (main_pipeline.concurrency, main_pipeline.folder) == (2, "A/B")
    assert (main_pipeline.parameters["day"].required, main_pipeline.parameters["n"].default) == (True, 3)
    assert factory.global_parameters == {"env": "dev"}
    assert factory.dataset("IN") and factory.linked_service("store") and factory.triggers[0].type == "ScheduleTrigger"
    left_out = {str(problem.source): problem.reason for problem in factory.problems if problem.fatal}
    assert left_out.keys() == {"package.json", "pipeline/old.json"}
    assert "version 1" in left_out["pipeline/old.json"]


def test_verdicts(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = as_json(load(export))
    assert {one["name"]: one["verdict"] for one in report["pipelines"]} == {
        "main": "imported",
        "flows": "partly",
        "circle": "refused",
    }
    flows = next(one for one in report["pipelines"] if one["name"] == "flows")
    assert [one["activity"] for one in flows["reasons"]] == ["flow", "flow", "bad"]
    assert report["summary"]["files_refused"] == 2
    assert main(["adf", "report", str(export), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == report
    assert main(["adf", "report", str(export)]) == 0
    assert "1 imported, 1 partly, 1 refused, 2 files refused" in capsys.readouterr().out


def test_render(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adf", "render", str(export), "main"]) == 0
    text = capsys.readouterr().out
    assert "  each: ForEach  after copy [Skipped or Succeeded]\n    body:\n      inner: IfCondition" in text
    assert main(["adf", "render", str(export), "other"]) == 1
    assert "takes one of circle, flows, main" in capsys.readouterr().err


def test_an_arm_template(tmp_path: Path) -> None:
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#",
        "parameters": {"factoryName": {"type": "string"}, "store": {"type": "string", "defaultValue": "lake"}, "other": {}},
        "variables": {"name": "[concat(parameters('store'), '-1')]"},
        "resources": [
            {
                "name": "[concat(parameters('factoryName'), '/load')]",
                "type": "Microsoft.DataFactory/factories/pipelines",
                "properties": {
                    "activities": [step("look", "Lookup", a="[variables('name')]", b="[[x]", c="[parameters('other')]")]
                },
            },
            {
                "type": "Microsoft.Resources/deployments",
                "properties": {
                    "template": {
                        "resources": [
                            {
                                "name": "[concat(parameters('workspace'), '/inner')]",
                                "type": "Microsoft.Synapse/workspaces/pipelines",
                                "properties": {"activities": [WAIT]},
                            }
                        ]
                    }
                },
            },
        ],
    }
    tmp_path.joinpath("arm.json").write_text(json.dumps(template))
    factory = load(tmp_path / "arm.json")
    assert [one.name for one in factory.pipelines] == ["load", "inner"]
    found = factory.pipelines[0].activities[0].type_properties
    assert dict(found) == {"a": "lake-1", "b": "[x]", "c": "[parameters('other')]"}
    assert [problem.fatal for problem in factory.problems] == [False]
    assert load(tmp_path, {"other": 5}).pipelines[0].activities[0].type_properties["c"] == 5


def arm(root: Path, parameters: dict[str, Any], variables: dict[str, Any], *resources: tuple[str, str, Any]) -> Path:
    """Write a template down: resources of the factory by type, name without the factory, and properties."""
    found = [
        {"type": f"Microsoft.DataFactory/factories/{kind}", "name": name, "properties": properties}
        for kind, name, properties in resources
    ]
    document = {"contentVersion": "1.0.0.0", "parameters": parameters, "variables": variables, "resources": found}
    (root / "arm.json").write_text(json.dumps(document))
    return root / "arm.json"


ARM = {
    "format('{0}-{1}{{x}}', parameters('env'), 5)": "Dev-5{x}",
    "format('{0:D3}|{1,5}|{1,-5}|{2:N0}', 7, 'ab', 12345)": "007|   ab|ab   |12,345",
    "toLower(parameters('env'))": "dev",
    "toUpper(variables('both'))": "DEV-LAKE",
    "replace(variables('both'), '-', '_')": "Dev_lake",
    "substring(variables('both'), 4)": "lake",
    "substring(variables('both'), 0, 3)": "Dev",
    "take(variables('list'), 1)[0]": "a",
    "concat(variables('list'), createArray('c'))": ["a", "b", "c"],
    "padLeft(7, 3, '0')": "007",
    "length(createObject('a', 1, 'b', null()))": 2,
    "if(equals(parameters('env'), 'Dev'), variables('tree').inner, false())": "dev",
    "coalesce(null(), last(split('a/b', '/')))": "b",
    "variables('tree')['inner']": "dev",
}


@pytest.mark.parametrize("text", ARM)
def test_functions_of_templates(tmp_path: Path, text: str) -> None:
    variables = {"both": "[concat(parameters('env'), '-', parameters('store'))]", "list": ["a", "b"]}
    variables["tree"] = {"inner": "[toLower(parameters('env'))]"}
    parameters = {"env": {"defaultValue": "Dev"}, "store": {"defaultValue": "[variables('kind')]"}}
    activities = {"activities": [step("w", seconds=f"[{text}]")]}
    factory = load(arm(tmp_path, parameters, {**variables, "kind": "lake"}, ("pipelines", "[concat('f', '/', 'p')]", activities)))
    assert factory.pipelines[0].activities[0].type_properties["seconds"] == ARM[text]
    assert not factory.problems


ELSEWHERE = {
    "uniqueString(resourceGroup().id)": "a hash that Azure makes",
    "guid('a')": "a hash that Azure makes",
    "resourceGroup().location": "where it is deployed",
    "utcNow()": "new at each deployment",
    "parameters('none')": "the parameter 'none' has no value: give it one in a parameter file",
    "variables('round')": "made of itself",
    "format('{0:Q3}', 1)": "got the form 'Q3': takes C, D, E",
    "format('{1}', 1)": "got '{1}' with 1 values",
    "copyIndex()": "there is no loop around it",
    "substring('a', 5)": "in a text of 1 characters",
    "nothing()": "no such function",
}


@pytest.mark.parametrize("text", ELSEWHERE)
def test_what_a_template_does_not_hold_is_told(tmp_path: Path, text: str) -> None:
    activities = {"activities": [step("w", seconds=f"[{text}]")]}
    factory = load(arm(tmp_path, {}, {"round": "[variables('round')]"}, ("pipelines", "f/p", activities)))
    assert factory.pipelines[0].activities[0].type_properties["seconds"] == f"[{text}]"
    (problem,) = factory.problems
    assert ELSEWHERE[text] in problem.reason
    assert not problem.fatal


def test_names_that_are_not_known_are_found_by_the_same_words(tmp_path: Path) -> None:
    at = "concat(parameters('factoryName'), '/', "
    there = "toLower(format('{0}-{1}', parameters('env'), uniqueString(resourceGroup().id)))"
    call = {"pipeline": {"referenceName": "[concat('load_', parameters('env'))]", "type": "PipelineReference"}}
    look = {"dataset": {"referenceName": f"[{there}]", "type": "DatasetReference"}}
    place = {"type": "AzureBlobFSLocation", "folderPath": "a"}
    shape = {
        "type": "Json",
        "linkedServiceName": {"referenceName": "[parameters('lake')]"},
        "typeProperties": {"location": place},
    }
    path = arm(
        tmp_path,
        {"factoryName": {"type": "string"}, "env": {"type": "string"}, "lake": {"type": "string"}},
        {},
        ("pipelines", f"[{at}'load_', parameters('env'))]", {"activities": [step("look", "Lookup", **look)]}),
        ("pipelines", f"[{at}'start')]", {"activities": [step("call", "ExecutePipeline", **call)]}),
        ("datasets", f"[{at}{there})]", shape),
    )
    report = as_json(load(path))
    assert {one["name"]: (one["verdict"], one["reasons"]) for one in report["pipelines"]} == {
        "load_{env}": ("imported", []),
        "start": ("imported", []),
    }
    assert [one["reason"].partition("it is named ")[2] for one in report["problems"]] == [
        *(
            "'load_{env}' here, give values as parameters",
            "'{env}-{uniquestring(resourcegroup().id)}' here, give values as parameters",
        )
    ]
    assert load(path).datasets[0].properties["linkedServiceName"] == {"referenceName": "{lake}"}
    known = load(path, {"env": "dev", "lake": "LS_Lake"})
    assert [one.name for one in known.pipelines] == ["load_dev", "start"]
    assert as_json(known)["summary"]["imported"] == 2


@pytest.mark.parametrize(
    "data",
    [
        b'\xef\xbb\xbf{"a": [1, 2]}',
        '{"a": [1, 2]}'.encode("utf-16"),
        '{"a": [1, 2]}'.encode("utf-16-le"),
        b'{"a": [1, 2,],} // end',
        b'/* begin */ {"a": [1, /* , */ 2\n,\n]}',
    ],
)
def test_json_as_people_leave_it(data: bytes) -> None:
    assert read_json(data) == {"a": [1, 2]}


def test_strings_are_left_alone() -> None:
    assert read_json(b'{"a": "http://x,}/* no */", }') == {"a": "http://x,}/* no */"}


def test_what_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no such file"):
        load(tmp_path / "none")


def test_equal_resources_count_once(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        tmp_path.joinpath(name).write_text(json.dumps(pipeline("same", WAIT)))
    assert len(load(tmp_path).pipelines) == 1


def test_activities_are_those_of_microsofts_models() -> None:
    models = pytest.importorskip("azure.mgmt.datafactory.models")
    known = {value for base in ("Activity", "ExecutionActivity", "ControlActivity") for value in _types(getattr(models, base))}
    assert len(known) >= 40
    assert known >= RUNS - {"DatabricksJob", "SqlPoolStoredProcedure"}


def _types(model: Any) -> set[str]:
    named = getattr(model, "__mapping__", None) or getattr(model, "_subtype_map", {}).get("type", {})
    return {str(name) for name in named} - {"Container", "Execution"}


_JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.sampled_from(["@concat(", "@item()", "ForEach", "[x]"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["name", "type", "properties", "activities", "dependsOn", "typeProperties", "cases", "resources", "policy"]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(st.one_of(_JSON, _JSON.map(lambda inner: {"name": "p", "properties": {"activities": [inner, WAIT]}})))
def test_documents_of_any_shape(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "shapes"
    folder.mkdir(exist_ok=True)
    folder.joinpath("one.json").write_text(json.dumps(document))
    factory = load(folder)
    assert as_text(factory)
    assert all(render(one) for one in factory.pipelines)


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(alphabet='{}[],:"/*\\ a1\n', max_size=40).map(str.encode)))
def test_bytes_of_any_kind(data: bytes) -> None:
    with contextlib.suppress(DocumentError):
        read_json(data)


def test_a_pipeline_needs_activities() -> None:
    with pytest.raises(DocumentError, match="got nothing for 'activities': takes a list"):
        read_pipeline("p", {}, Path("p.json"))
    assert (
        judge(read_pipeline("p", {"activities": []}, Path("p.json")), load(Path(__file__).parent / "__init__.py")).reasons == ()
    )


def test_what_bicep_and_azures_own_tools_write(tmp_path: Path) -> None:
    activities = [{"name": "w", "type": "Wait", "typeProperties": {"waitTimeInSeconds": "[variables('secs')]"}}]
    named = "[concat(parameters('f'), '/', variables('name'))]"
    one = {"name": named, "type": "Microsoft.DataFactory/factories/pipelines", "properties": {"activities": activities}}
    bicep = {"languageVersion": "2.0", "variables": {"secs": 5, "name": "load"}, "parameters": {"f": {"defaultValue": "x"}}}
    unknown = {**bicep, "variables": {"name": "[uniqueString(resourceGroup().id)]"}}
    documents = {
        "bicep": {**bicep, "resources": {"it": one}},
        "unknown": {**unknown, "resources": [one]},
        "answer": {"value": [{"name": "listed", "properties": {"activities": []}}]},
        "shown": {"name": "shown", "activities": [], "parameters": {"a": {"type": "string"}}, "etag": "1"},
    }
    for name, document in documents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    factory = load(tmp_path)
    assert {one.name for one in factory.pipelines} == {"load", "{uniqueString(resourceGroup().id)}", "listed", "shown"}
    assert not [problem for problem in factory.problems if problem.fatal]
    load_ = factory.pipeline("load")
    assert load_ and load_.activities[0].type_properties == {"waitTimeInSeconds": 5}


def looped(root: Path, resources: list[dict[str, Any]], **more: Any) -> dict[str, list[Any]]:
    """A template with loops: what its pipelines wait for, by their names."""
    (root / "arm.json").write_text(json.dumps({"$schema": "deploymentTemplate.json#", "resources": resources, **more}))
    factory = load(root / "arm.json")
    assert not factory.problems
    return {one.name: [step.type_properties["seconds"] for step in one.activities] for one in factory.pipelines}


def waiting(name: str, seconds: str, /, **copy: Any) -> dict[str, Any]:
    properties = {"activities": [step("w", seconds=seconds)]}
    return {"type": "Microsoft.DataFactory/factories/pipelines", "name": name, "properties": properties, "copy": copy}


def test_resources_that_are_made_several_times(tmp_path: Path) -> None:
    parameters = {"names": {"defaultValue": ["a", "b"]}}
    one = waiting(
        "[concat('f/load_', parameters('names')[copyIndex()])]",
        "[format('{0:D2} {1} {2}', copyIndex('each', 1), copyIndex(10), copyIndex())]",
        name="each",
        count="[length(parameters('names'))]",
    )
    inner = {
        "template": {"resources": [waiting("[format('f/{0}{1}', copyIndex('out'), copyIndex('in'))]", "1", name="in", count=2)]}
    }
    outer = {"type": "Microsoft.Resources/deployments", "copy": {"name": "out", "count": 2}, "properties": inner}
    none = waiting("f/none", "1", name="none", count=0)
    assert looped(tmp_path, [one, outer, none], parameters=parameters) == {
        "load_a": ["01 10 0"],
        "load_b": ["02 11 1"],
        **{name: ["1"] for name in ("00", "01", "10", "11")},
    }


def test_properties_and_variables_that_are_made_several_times(tmp_path: Path) -> None:
    steps = [
        {
            "name": "activities",
            "count": 2,
            "input": step("[concat('w', copyIndex())]", seconds="[variables('waits')[copyIndex()].long]"),
        }
    ]
    one = {"type": "Microsoft.DataFactory/factories/pipelines", "name": "f/p", "properties": {"copy": steps}}
    waits = [{"name": "waits", "count": 2, "input": {"long": "[mul(copyIndex('waits', 1), 5)]"}}]
    assert looped(tmp_path, [one], variables={"copy": waits}) == {"p": [5, 10]}


LOOPS = {
    "[parameters('none')]": "the parameter 'none' has no value",
    "many": "copy.count: got 'many': takes 0 to 800",
    "[length(variables('v'))]": "is made of itself",
}


@pytest.mark.parametrize("count", LOOPS)
def test_loops_whose_length_is_not_known(tmp_path: Path, count: str) -> None:
    variables = {"copy": [{"name": "v", "count": count, "input": 1}]}
    one = waiting("[concat('f/p', copyIndex())]", "1", name="each", count=count)
    (tmp_path / "arm.json").write_text(
        json.dumps({"$schema": "deploymentTemplate.json#", "resources": [one], "variables": variables})
    )
    factory = load(tmp_path / "arm.json")
    assert [pipeline.name for pipeline in factory.pipelines] == ["p{copyIndex()}"]
    assert LOOPS[count] in factory.problems[0].reason


def test_loops_in_loops_end(tmp_path: Path) -> None:
    tree: Any = 1
    for depth in range(6):
        tree = {"copy": [{"name": f"l{depth}", "count": 800, "input": tree}]}
    one = {
        "type": "Microsoft.DataFactory/factories/pipelines",
        "name": "f/p",
        "properties": {"activities": [step("w", seconds=tree)]},
    }
    (tmp_path / "arm.json").write_text(json.dumps({"$schema": "deploymentTemplate.json#", "resources": [one]}))
    assert any("20000 copies together" in problem.reason for problem in load(tmp_path / "arm.json").problems)


def test_the_factory_has_the_name_that_the_export_says(tmp_path: Path) -> None:
    """In Git mode the factory is a file of its own; a template has the parameter ``factoryName``. Of two factories, it is the nearest one's."""
    one = {"name": "load", "properties": {"activities": []}}
    template = {
        "$schema": "http://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#",
        "parameters": {"factoryName": {"type": "string", "defaultValue": "adf-test"}},
        "resources": [
            {"name": "[concat(parameters('factoryName'), '/other')]", "type": "Microsoft.DataFactory/factories/pipelines", "properties": {"activities": []}}
        ],
    }  # fmt: skip
    for path, document in {
        "git/pipeline/load.json": one,
        "git/factory/adf-prod.json": {"name": "adf-prod", "properties": {"globalParameters": {}}},
        "arm/ARMTemplateForFactory.json": template,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(json.dumps(document))
    factory = load(tmp_path)
    assert {pipeline.name: factory.name_near(pipeline.source) for pipeline in factory.pipelines} == {
        "load": "adf-prod",
        "other": "adf-test",
    }
    assert load(tmp_path / "git" / "pipeline").name_near(PurePath("load.json")) == ""
