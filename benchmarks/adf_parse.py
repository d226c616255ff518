"""How long a folder of 600 pipelines takes to load, to judge and to become DAGs. Prints seconds of the processor."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from table import print_times

from airflow_ml_provider.adf.airflow.dag_file import adf_dags
from airflow_ml_provider.adf.export.loader import load
from airflow_ml_provider.adf.support.verdicts import judge

PIPELINES, ACTIVITIES, ROUNDS = 600, 12, 3


def pipeline(number: int) -> dict[str, Any]:
    """A pipeline that sets one variable after the other."""
    value = {"value": "@concat(pipeline().parameters.day, '/', string(add(1, 2)))", "type": "Expression"}
    activities = [
        {
            "name": f"step {step}",
            "type": "SetVariable",
            "dependsOn": [{"activity": f"step {step - 1}", "dependencyConditions": ["Succeeded"]}] if step else [],
            "typeProperties": {"variableName": "place", "value": value},
        }
        for step in range(ACTIVITIES)
    ]
    properties = {"activities": activities, "parameters": {"day": {"type": "string"}}, "variables": {"place": {"type": "String"}}}
    return {"name": f"pipeline {number}", "properties": properties}


def main() -> None:
    times: dict[str, list[float]] = {"load": [], "judge": [], "adf_dags of a new folder": [], "adf_dags again": []}

    def timed(what: str, call: Callable[[], Any]) -> Any:
        began = time.process_time()
        found = call()
        times[what].append(time.process_time() - began)
        return found

    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "pipeline").mkdir()
            for number in range(PIPELINES):
                Path(folder, "pipeline", f"{number}.json").write_text(json.dumps(pipeline(number)))
            factory = timed("load", lambda: load(folder))
            timed("judge", lambda: [judge(one, factory).reasons for one in factory.pipelines])  # noqa: B023
            for what in ("adf_dags of a new folder", "adf_dags again"):
                assert len(timed(what, lambda: adf_dags(folder))) == PIPELINES
    print_times(f"{PIPELINES} pipelines of {ACTIVITIES} activities", times)


if __name__ == "__main__":
    main()
