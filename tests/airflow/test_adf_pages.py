"""A ForEach with more items than Airflow maps tasks over runs all of them: Data Factory takes 100,000 ("ForEach activity", limitations)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.operators.item_pages import mapped_over
from airflow_ml_provider.core.errors import SpecError
from tests.airflow.conftest import Run
from tests.airflow.test_adf_control import VARIABLES, append, check, each, expression, put
from tests.airflow.test_adf_semantics import after, bad, good, pipeline, when

__all__ = ["pipeline"]


def test_items_are_mapped_one_by_one_or_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mapped_over(["a"], "each") == [{"item": "a"}]
    pages = mapped_over(list(range(1025)), "each")
    assert len(pages) <= 1024 and [item for page in pages for item in page["page"]] == list(range(1025))
    assert len(mapped_over([0] * 100_000, "each")) <= 1024
    with pytest.raises(SpecError, match=r"got 100001: takes 100,000 at most"):
        mapped_over([0] * 100_001, "each")
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    assert mapped_over([1, 2, 3], "each") == [{"page": [1, 2]}, {"page": [3]}]


def test_all_items_run_and_one_that_fails_is_seen(pipeline: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "3")
    odd = when("odd", append("add", "all", expression("@item()")))
    odd["typeProperties"]["expression"] = expression("@equals(mod(item(), 2), 1)")
    seven = {**when("seven", bad("break")), "dependsOn": [after("odd")]}
    seven["typeProperties"]["expression"] = expression("@equals(item(), 7)")
    returned = [{"key": "seen", "value": {"type": "Expression", "content": "@variables('all')"}}]
    done = pipeline(
        "many",
        each("numbers", "@range(0, 10)", odd, seven),
        each("few", "@range(0, 3)", append("more", "n", expression("@item()"))),
        good("caught", after("numbers", "Failed")),
        put("tell", "pipelineReturnValue", returned, after("caught"), setSystemVariable=True),
        variables=VARIABLES,
    )
    check(done)
    assert sorted(done.xcom("pipeline_end")["seen"]) == [1, 3, 5, 7, 9]
    record = done.xcom("numbers.end", "adf_record")
    assert (record["status"], record["output"]) == ("Failed", {"count": 10})
    assert "failed in 1 of 3 pages of items: 1 of 4 items failed" in record["error"]["message"]
    assert done.states["few.end"] == "success"
    assert {done.states[f"numbers.each.odd.enter[{page}]"] for page in range(3)} == {"success", "failed"}
    assert {done.states[f"numbers.each.seven.end[{page}]"] for page in range(3)} == {"skipped"}


def test_pages_of_programs_share_a_cluster_in_one_task(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "1")
    for folder in ("linkedService", "jobs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "jobs" / "count.py").write_text("print('counted')\n")
    bricks = {"type": "AzureDatabricks", "typeProperties": {"newClusterNumOfWorker": "1"}}
    (tmp_path / "linkedService" / "bricks.json").write_text(json.dumps({"name": "bricks", "properties": bricks}))
    spark = {
        "name": "count",
        "type": "DatabricksSparkPython",
        "linkedServiceName": {"referenceName": "bricks", "type": "LinkedServiceReference"},
        "typeProperties": {"pythonFile": "dbfs:/jobs/count.py", "parameters": ["@string(item())"]},
    }
    done = pipeline("programs", each("numbers", "@range(0, 2)", spark))
    check(done)
    assert len(service.clusters) == 1
    assert done.states["numbers.each.count.prepare[0]"] == "skipped"


def test_a_loop_whose_first_task_dies_fails_the_pipeline(pipeline: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a server with a smaller ``[core] max_map_length`` than the worker's refuses the list of items."""
    from airflow.sdk.configuration import conf

    told = conf.getint

    def of_the_worker(section: str, key: str, **kwargs: Any) -> Any:
        return 10_000 if key == "max_map_length" else told(section, key, **kwargs)

    monkeypatch.setattr(conf, "getint", of_the_worker)
    done = pipeline("dies", each("numbers", "@range(0, 1025)", good("inside")))
    assert (done.state, done.states["numbers.enter"], done.states["numbers.end"]) == ("failed", "failed", "failed")
    assert "task numbers.enter failed" in done.xcom("numbers.end", "adf_record")["error"]["message"]
