"""How long a folder of 600 pipelines takes to load, to judge and to become DAGs. Prints seconds of the processor.

"one task's parse" is what a new process that runs a task spends on the DAG file, beyond an empty one. The target on an idle machine
is 0.2 s at most; the imports of the importer are about half of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
AS_A_TASK = """
import runpy, sys, time
import airflow.sdk.execution_time.task_runner
from airflow.sdk import DAG, task, task_group
from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager
with _airflow_parsing_context_manager(dag_id="pipeline_7", task_id="step_0"):
    began = time.process_time()
    runpy.run_path(sys.argv[1])
    print(time.process_time() - began)
"""


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


def parse_of_a_task(folder: str) -> float:
    """Seconds that a new process, which runs a task, spends on the DAG file of the folder."""
    with tempfile.TemporaryDirectory() as dags:
        file = Path(dags, "factory.py")
        file.write_text(f"from airflow_ml_provider.adf import adf_dags\n\nassert list(adf_dags({folder!r})) == ['pipeline_7']\n")
        command = [sys.executable, "-W", "ignore", "-c", AS_A_TASK, str(file)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ.copy()).stdout
    return float(printed.splitlines()[-1])


def main() -> None:
    times: dict[str, list[float]] = {
        "load": [],
        "judge": [],
        "adf_dags of a new folder": [],
        "adf_dags again": [],
        "one task's parse": [],
    }

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
            times["one task's parse"] += [parse_of_a_task(folder) for _ in range(ROUNDS)]
    print_times(f"{PIPELINES} pipelines of {ACTIVITIES} activities", times)


if __name__ == "__main__":
    main()
