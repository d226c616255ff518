"""Pipelines that wait for pipelines, on a real scheduler and triggerer, with fewer worker slots than there are pipelines that wait.

Each level is a ForEach whose items start a pipeline and wait for its end. ``SOAK_CHILDREN`` (20) is how many a pipeline starts.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from scripts.stack import Stack
from tests.e2e.conftest import QUICK

pytestmark = pytest.mark.soak
DAG_FILE = """\
from airflow_ml_provider.adf import adf_dags

adf_dags({export!r}, max_active_runs=1000)
"""


def starts(called: str, count: int) -> dict[str, Any]:
    """A pipeline whose ForEach starts another one for each of its items, all at once."""
    call = {"pipeline": {"referenceName": called}, "waitOnCompletion": True}
    inside = [{"name": "call", "type": "ExecutePipeline", "typeProperties": call}]
    items = {"value": f"@range(0, {count})", "type": "Expression"}
    loop = {"items": items, "isSequential": False, "batchCount": 50, "activities": inside}
    return {"activities": [{"name": "all", "type": "ForEach", "typeProperties": loop}]}


@pytest.mark.parametrize(("children", "slots"), [(3, 2), (int(os.environ.get("SOAK_CHILDREN", "20")), 4)])
def test_pipelines_that_wait_need_no_slots(tmp_path: Path, children: int, slots: int) -> None:
    leaf = {"activities": [{"name": "rest", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}]}
    export = tmp_path / "export" / "pipeline"
    export.mkdir(parents=True)
    for name, document in {"top": starts("middle", children), "middle": starts("leaf", children), "leaf": leaf}.items():
        (export / f"{name}.json").write_text(json.dumps({"name": name, "properties": document}))
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "slots.py").write_text(DAG_FILE.format(export=str(tmp_path / "export")))
    settings = {**QUICK, "core.parallelism": str(slots), "core.max_active_tasks_per_dag": "1000"}
    with Stack(tmp_path / "airflow", dags=dags, settings=settings) as stack:
        stack.api.wait_for_dag("top")
        began = time.monotonic()
        run = stack.api.trigger("top", {})
        state = stack.api.wait_for_run("top", run, timeout=3600)
        took = time.monotonic() - began
        found = stack.api.call("GET", "/dags/leaf/dagRuns", params={"limit": 1, "state": "success"})["total_entries"]
        print({"children": children, "slots": slots, "leaves": found, "minutes": round(took / 60, 1)})
        assert (state, found) == ("success", children * children)
