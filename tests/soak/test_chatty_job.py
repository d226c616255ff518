"""A deferred job that prints very much, in a real triggerer: the triggers beside it go on."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from scripts.stack import Stack
from tests.e2e.conftest import QUICK
from tests.processes import eventually
from tests.soak.test_fault_storm import EmrScene

pytestmark = pytest.mark.soak
ROOT = Path(__file__).parents[2]
LINES = 200_000
LONGEST = 10.0
"""Seconds that a tick may be late, also where the machine is busy. Before logs were copied in parts it was a minute and more."""
DAG_FILE = """
from airflow.sdk import DAG, Param
from airflow_ml_provider.cluster import SparkCluster
from tests.soak.ticks import TicksOperator

FOLDER = "{{ params.folder }}"
with DAG("chatty", schedule=None, catchup=False, params={"folder": Param("/nowhere", type="string")}):
    TicksOperator(task_id="ticks", folder=FOLDER)
    with SparkCluster("spark", driver={"cores": 1, "memory": "512m"}) as cluster:
        cluster.job("prints", program="chatty_program.py", args=[FOLDER], poll_interval=0.5, deferrable=True)
"""
PROGRAM = f"""
import pathlib, sys, time
while not pathlib.Path(sys.argv[1], "ticking").exists():
    time.sleep(0.05)
for number in range({LINES}):
    print(f"line {{number:06}} of a job that says what it does")
"""


def test_triggers_go_on_beside_a_job_that_prints_very_much(tmp_path: Path) -> None:
    dags, folder = tmp_path / "dags", tmp_path / "notes"
    dags.mkdir()
    (dags / "chatty.py").write_text(DAG_FILE)
    (dags / "chatty_program.py").write_text(PROGRAM)
    with ExitStack() as held:
        scene = EmrScene(tmp_path, held)
        with Stack(
            tmp_path / "airflow", dags=dags, settings=QUICK, connections=scene.connections(), env={"PYTHONPATH": str(ROOT)}
        ) as stack:
            run = stack.api.trigger("chatty", {"folder": str(folder)})
            eventually((folder / "ticking").exists, within=180)
            began = time.monotonic()
            ended = ("success", "failed", "upstream_failed")
            stack.api.wait_for_task("chatty", run, "spark.prints", ended, timeout=600)
            seconds = time.monotonic() - began
            (folder / "stop").touch()
            assert stack.api.wait_for_run("chatty", run) == "success", stack.api.states("chatty", run)
            ticks = stack.api.xcoms("chatty", run, "ticks")["return_value"]
            told = stack.api.log("chatty", run, "spark.prints")
            blocked = stack.log("triggerer").count("async thread was blocked")
    copied = told.count(" of a job that says what it does")
    print(f"\n{ticks}; {copied} of {LINES} lines copied in {seconds:.1f} s; Airflow saw its event loop blocked {blocked} times")
    assert "line 000000 " in told
    assert copied == LINES or "The driver's log goes on after these" in told
    assert ticks["ticks"] > 10
    assert ticks["longest"] < LONGEST, ticks
