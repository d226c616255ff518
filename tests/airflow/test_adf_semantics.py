"""Pipelines run as Data Factory runs them: edges, skipping, and how a run ends, against a model of a few lines."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.dag_file import adf_dags
from tests.airflow.conftest import Run

STATE = {"Succeeded": "success", "Failed": "failed", "Skipped": "skipped"}
CONDITIONS = ("Succeeded", "Failed", "Skipped", "Completed")
SEED = 20130101


def after(name: str, *conditions: str) -> dict[str, Any]:
    return {"activity": name, "dependencyConditions": list(conditions or ("Succeeded",))}


def good(name: str, *edges: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "type": "Wait", "dependsOn": list(edges), "typeProperties": {"waitTimeInSeconds": 0}}


def bad(name: str, *edges: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "Fail",
        "dependsOn": list(edges),
        "typeProperties": {"message": f"{name} broke", "errorCode": "7"},
    }


def when(name: str, *activities: dict[str, Any]) -> dict[str, Any]:
    """An If that is true."""
    inside = {"expression": {"type": "Expression", "value": "@equals(1,1)"}, "ifTrueActivities": list(activities)}
    return {"name": name, "type": "IfCondition", "typeProperties": inside}


@pytest.fixture
def pipeline(tmp_path: Path, run: Callable[[Any], Run]) -> Callable[..., Run]:
    """Write a pipeline down, make its DAG and run it."""

    def made(name: str, *activities: dict[str, Any], **properties: Any) -> Run:
        (tmp_path / "pipeline").mkdir(exist_ok=True)
        document = {"name": name, "properties": {"activities": activities, **properties}}
        (tmp_path / "pipeline" / f"{name}.json").write_text(json.dumps(document))
        return run(adf_dags(tmp_path)[name])

    return made


def expected(activities: list[dict[str, Any]]) -> dict[str, str]:
    """What becomes of activities in order, by Data Factory's documentation."""
    ended: dict[str, str] = {}
    for activity in activities:
        met = []
        for edge in activity["dependsOn"]:
            before, wanted = ended[edge["activity"]], edge["dependencyConditions"]
            met.append(before in wanted or ("Completed" in wanted and before != "Skipped"))
        ended[activity["name"]] = "Skipped" if not all(met) else "Failed" if activity["type"] == "Fail" else "Succeeded"
    return ended


def expected_end(activities: list[dict[str, Any]], ended: dict[str, str]) -> str:
    """Failed when a leaf failed, a skipped leaf counting as each of its parents."""
    parents = {activity["name"]: [edge["activity"] for edge in activity["dependsOn"]] for activity in activities}

    def failed(name: str) -> bool:
        return any(map(failed, parents[name])) if ended[name] == "Skipped" else ended[name] == "Failed"

    inner = {parent for names in parents.values() for parent in names}
    return "Failed" if any(failed(name) for name in parents if name not in inner) else "Succeeded"


@pytest.mark.parametrize(
    ("name", "activities", "end"),
    [
        ("try_catch", [bad("a"), good("b", after("a", "Failed"))], "success"),
        ("do_if_else", [bad("a"), good("b", after("a")), good("c", after("a", "Failed"))], "failed"),
        ("do_if_skip_else", [bad("a"), good("b", after("a")), good("c", after("a", "Failed"), after("b", "Skipped"))], "success"),
    ],
)
def test_the_documented_patterns(name: str, activities: list[dict[str, Any]], end: str, pipeline: Callable[..., Run]) -> None:
    done = pipeline(name, *activities)
    assert done.state == end
    for activity, status in expected(activities).items():
        assert done.states[activity] == STATE[status]
    succeeding = [{**good("a"), "dependsOn": []}, *activities[1:]]
    assert expected_end(succeeding, expected(succeeding)) == "Succeeded"


def test_random_graphs(pipeline: Callable[..., Run]) -> None:
    """Each graph is the inside of an If of its own, so that one run judges them all."""
    random_ = random.Random(SEED)
    graphs = [_graph(random_, f"g{number}") for number in range(12)]
    done = pipeline("graphs", *(when(f"g{number}", *graph) for number, graph in enumerate(graphs)))
    for number, graph in enumerate(graphs):
        ended = expected(graph)
        found = {name: done.states[f"g{number}.{name}"] for name in ended}
        assert found == {name: STATE[status] for name, status in ended.items()}, graph
        assert done.states[f"g{number}.end"] == STATE[expected_end(graph, ended)], graph
    assert done.state == "failed"


def _graph(random_: random.Random, prefix: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number in range(random_.randint(2, 6)):
        before = random_.sample(found, random_.randint(0, min(3, len(found))))
        edges = [after(one["name"], *random_.sample(CONDITIONS, random_.randint(1, 3))) for one in before]
        found.append(random_.choice((good, bad))(f"{prefix}_{number}", *edges))
    return found
