"""Documents of the right words in the wrong places: a verdict or a named problem, and nothing else."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ml_provider.adf.export.loader import Gathered
from airflow_ml_provider.adf.report import as_json, as_text, connections_as_json, render
from airflow_ml_provider.adf.support.verdicts import RUNS

WORDS = (
    *("name", "type", "properties", "activities", "typeProperties", "dependsOn", "activity", "dependencyConditions", "policy"),
    *("timeout", "retry", "state", "onInactiveMarkAs", "parameters", "variables", "defaultValue", "value", "items", "expression"),
    *("cases", "defaultActivities", "ifTrueActivities", "ifFalseActivities", "isSequential", "batchCount", "concurrency"),
    *("linkedServiceName", "referenceName", "inputs", "outputs", "source", "sink", "dataset", "pipeline", "pipelines"),
    *("pipelineReference", "recurrence", "frequency", "interval", "startTime", "schedule", "minutes", "weekDays", "monthDays"),
    *("monthlyOccurrences", "day", "occurrence", "delay", "maxConcurrency", "referenceTrigger", "offset", "events", "scope"),
    *("resources", "$schema", "contentVersion", "template", "globalParameters", "userProperties", "store", "secretName", "url"),
    *("copy", "count", "input", "sheetName", "sheetIndex", "range", "sqlPool"),
)
LEAVES = st.one_of(
    st.sampled_from(sorted(RUNS)),
    st.sampled_from(
        [
            *(
                "it",
                "a",
                "Succeeded",
                "Inactive",
                "@item()",
                "@concat('a'",
                "@{variables('v')}",
                "[parameters('x')]",
                "[concat('a',",
                "[format('{0:D3}{1,5}', copyIndex(), copyIndex('it', 1))]",
                "[length(variables('it'))]",
            ),
            *(
                "ScheduleTrigger",
                "TumblingWindowTrigger",
                "BlobEventsTrigger",
                "CustomEventsTrigger",
                "AzureBlobFS",
                "Expression",
            ),
            *("Month", "hour", "week", "2024-05-06T00:00:00Z", "1.00:00:00", "Monday", "AzureKeyVaultSecret", "Yes", ""),
            *("Microsoft.DataFactory/factories/pipelines", "Microsoft.Resources/deployments", "PipelineReference"),
        ]
    ),
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False),
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6), max_leaves=25
)
BAGS = st.dictionaries(st.sampled_from(WORDS), JSON, max_size=6)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A folder's name and what a file in it holds; some of it is as it should be, so that the rest is read at all."""
    folder = draw(st.sampled_from(["pipeline", "trigger", "linkedService", "dataset", "template"]))
    name, bag = draw(st.sampled_from(["it", "a"])), draw(BAGS)
    if folder == "template":
        kind = draw(st.sampled_from(["pipelines", "triggers", "datasets"]))
        one = {
            "name": f"[concat(parameters('f'),'/{name}')]",
            "type": f"Microsoft.DataFactory/factories/{kind}",
            "properties": bag,
            "copy": {"name": name, "count": draw(st.integers(-1, 3) | JSON)},
        }
        return folder, {"resources": [one, draw(JSON)], "parameters": draw(JSON), "variables": draw(JSON)}
    if folder == "pipeline":
        kinds = st.sampled_from(sorted(RUNS))
        ones = st.fixed_dictionaries(
            {"name": st.sampled_from("abc"), "type": kinds, "typeProperties": BAGS}, optional={"dependsOn": JSON}
        )
        bag["activities"] = draw(st.lists(ones | JSON, max_size=3))
    if folder == "trigger":
        kinds = st.sampled_from(["ScheduleTrigger", "TumblingWindowTrigger", "BlobEventsTrigger", "CustomEventsTrigger"])
        inside = draw(BAGS) | {"recurrence": draw(BAGS) | {"startTime": "2024-05-06T00:00:00Z", "frequency": "Month"}}
        start = {"pipelineReference": {"referenceName": "it"}}
        bag |= {"type": draw(kinds), "typeProperties": inside, "pipelines": [start], "pipeline": start}
    return folder, {"name": name, "properties": bag}


def judge_all(given: list[tuple[str, dict[str, Any]]]) -> None:
    """Read, judge and print documents."""
    gathered = Gathered()
    for number, (folder, document) in enumerate(given):
        gathered.document(document, PurePath(folder, f"{number}.json"), {})
    factory = gathered.factory()
    json.dumps([as_json(factory), connections_as_json(factory)])
    as_text(factory)
    assert all(map(render, factory.pipelines))


@settings(max_examples=150, derandomize=True, database=None, deadline=None)
@given(st.lists(documents(), min_size=1, max_size=3))
def test_any_document_has_a_verdict_or_a_problem(given: list[tuple[str, dict[str, Any]]]) -> None:
    judge_all(given)
