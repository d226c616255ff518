"""Activities that wait leave their worker, and go on where they were: nothing that has ended runs again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow import wait_trigger
from airflow_ml_provider.adf.airflow.activities import call
from airflow_ml_provider.adf.airflow.journal import JOURNAL, Journal, Waiting
from airflow_ml_provider.adf.airflow.wait_trigger import WaitTrigger, trigger_of
from tests.airflow.conftest import Run
from tests.airflow.test_adf_control import append, each, expression, put
from tests.airflow.test_adf_flow import until
from tests.airflow.test_adf_semantics import after, bad, pipeline

__all__ = ["pipeline"]

VARIABLES = {"all": {"type": "Array", "defaultValue": []}, "n": {"type": "Integer", "defaultValue": 0}}


@pytest.fixture(autouse=True)
def every_pause_defers(monkeypatch: pytest.MonkeyPatch) -> list[Waiting]:
    """Also short ones; returns what the tasks have waited for."""
    waited: list[Waiting] = []
    pausing = call.Pausing

    def noted(waiting: Waiting) -> Any:
        waited.append(waiting)
        return pausing(waiting)

    monkeypatch.setattr(call, "_BRIEFLY", 0.0)
    monkeypatch.setattr(call, "Pausing", noted)
    return waited


def wait(name: str, seconds: float, *edges: Any) -> dict[str, Any]:
    return {"name": name, "type": "Wait", "typeProperties": {"waitTimeInSeconds": seconds}, "dependsOn": list(edges)}


def answer(text: str, *edges: Any) -> dict[str, Any]:
    told = [{"key": "found", "value": {"type": "Expression", "content": text}}]
    return put("answer", "pipelineReturnValue", told, *edges, setSystemVariable=True)


def test_an_until_goes_on_in_the_round_in_which_it_left(
    pipeline: Callable[..., Run],
    every_pause_defers: list[Waiting],
) -> None:
    """Microsoft's "Until activity": its activities run in a loop until the condition is true. Each round here waits twice."""
    loop = until(
        "loop",
        "@greaterOrEquals(length(variables('all')), 3)",
        wait("before", 0.1),
        append("add", "all", expression("@add(length(variables('all')), 1)"), after("before")),
        wait("after", 0.1, after("add")),
    )
    done = pipeline("rounds", loop, answer("@variables('all')", after("loop")), variables=VARIABLES)
    assert done.state == "success"
    assert done.xcom("pipeline_end") == {"found": [1, 2, 3]}
    assert done.xcom("loop", "adf_record")["output"] == {"rounds": 3}
    assert len(every_pause_defers) == 6
    journal, known = Journal.opened(done.xcom("loop", JOURNAL))
    assert not [key for key in journal.notes if key.startswith(("1/", "2/"))], "what a round noted is forgotten at its end"
    assert set(known["local"]) == {"before", "add", "after"}


def test_items_that_have_run_do_not_run_again(pipeline: Callable[..., Run], every_pause_defers: list[Waiting]) -> None:
    inner = each(
        "inner",
        "@createArray('x', 'y')",
        append("add", "all", expression("@concat(item(), string(length(variables('all'))))")),
        wait("rest", 0.05, after("add")),
        sequential=True,
    )
    outer = each("outer", "@createArray(1, 2)", inner, sequential=True)
    done = pipeline("nested", outer, answer("@variables('all')", after("outer")), variables=VARIABLES)
    assert done.xcom("pipeline_end") == {"found": ["x0", "y1", "x2", "y3"]}
    assert len(every_pause_defers) == 4


def test_a_branch_that_was_taken_stays_taken(pipeline: Callable[..., Run]) -> None:
    """The condition is another one once the variable has changed inside."""
    choice = {
        "name": "choice",
        "type": "IfCondition",
        "typeProperties": {
            "expression": expression("@empty(variables('all'))"),
            "ifTrueActivities": [append("first", "all", "first"), wait("rest", 0.05, after("first")), append("last", "all", "last", after("rest"))],
            "ifFalseActivities": [bad("wrong")],
        },
    }  # fmt: skip
    loop = until("loop", "@equals(length(variables('all')), 2)", choice)
    done = pipeline("branches", loop, answer("@variables('all')", after("loop")), variables=VARIABLES)
    assert done.xcom("pipeline_end") == {"found": ["first", "last"]}


def test_an_activity_is_tried_as_often_as_its_policy_says(
    pipeline: Callable[..., Run], every_pause_defers: list[Waiting]
) -> None:
    policy = {"retry": 2, "retryIntervalInSeconds": 0.05}
    web = {
        "name": "web",
        "type": "WebActivity",
        "typeProperties": {"url": "http://127.0.0.1:9/", "method": "GET"},
        "policy": policy,
    }
    add = append("add", "all", "failed", after("web", "Failed"))
    loop = until("loop", "@true", web, add)
    done = pipeline("tries", loop, answer("@variables('all')", after("loop")), variables=VARIABLES)
    assert done.xcom("pipeline_end") == {"found": ["failed"]}
    assert len(every_pause_defers) == 2, "a pause before each of two more attempts"


def test_a_timeout_counts_the_time_in_which_the_task_was_deferred(
    pipeline: Callable[..., Run], every_pause_defers: list[Waiting]
) -> None:
    began = time.monotonic()
    done = pipeline("late", until("loop", "@false", wait("long", 600), timeout="0.00:00:02"))
    assert done.states["loop"] == "failed"
    assert "the timeout of 2 s has passed" in done.xcom("loop", "adf_record")["error"]["message"]
    assert time.monotonic() - began < 60
    (waited,) = every_pause_defers
    assert waited.until is not None


@pytest.mark.parametrize(
    ("waiting", "xcom"),
    [(Waiting(5.0), None), (Waiting(run=("d", "r")), None), (Waiting(7.5, xcom=("t", "k", -1)), ["d", "r", "t", "k", -1])],
)
def test_a_trigger_says_all_that_it_waits_for(waiting: Waiting, xcom: Any) -> None:
    class Ti:
        dag_id, run_id = "d", "r"

    path, fields = trigger_of(waiting, Ti()).serialize()
    assert path == "airflow_ml_provider.adf.airflow.wait_trigger.WaitTrigger"
    assert fields == {"until": waiting.until, "run": list(waiting.run) if waiting.run else None, "xcom": xcom}
    assert WaitTrigger(**fields).serialize() == (path, fields)


def told(trigger: WaitTrigger) -> list[Any]:
    """The events of a trigger."""

    async def events() -> list[Any]:
        return [event async for event in trigger.run()]

    return asyncio.run(asyncio.wait_for(events(), 30))


@pytest.mark.parametrize(("faults", "looks"), [(3, 5), (1000, 21)])
def test_a_fault_of_airflow_is_waited_out_for_some_time(monkeypatch: pytest.MonkeyPatch, faults: int, looks: int) -> None:
    """Then the task itself asks, and fails with what it is told: a run that was deleted never ends."""
    asked = []

    def has_ended(dag_id: str, run_id: str) -> bool:
        asked.append(run_id)
        if len(asked) <= faults:
            raise TypeError("Expected DagRunStateResult, received: ErrorResponse")
        return len(asked) > faults + 1

    monkeypatch.setattr(wait_trigger, "_has_ended", has_ended)
    monkeypatch.setattr(wait_trigger, "_SHORTEST", 0.0)
    assert len(told(WaitTrigger(run=["d", "r"]))) == 1
    assert len(asked) == looks


def test_a_moment_in_the_past_has_come() -> None:
    assert len(told(WaitTrigger(until=time.time() - 5))) == 1
