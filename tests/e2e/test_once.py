"""Work is done once, and what a user ends has an end: processes really killed, on a real Airflow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

import psutil
import pytest

from tests.e2e.conftest import CANARIES, Run
from tests.processes import eventually

Start = Callable[[str], Run]
MODES = ("sync", "deferred")


@pytest.fixture(scope="session")
def dies(start: Start) -> Run:
    return start("dies")


def test_a_worker_that_dies_while_the_job_runs_finds_it_again(dies: Run) -> None:
    task = "while_running"
    dies.until_it_runs(task)
    worker = _worker(dies, task)
    for process in (*worker.children(recursive=True), worker):
        process.kill()
    dies.let_go(task)
    dies.until(task, "success")
    assert dies.result(task) == {"runs": 1, "rows": 100}
    assert dies.job_states(task) == ["SUCCEEDED"]


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_that_dies_between_the_answer_and_the_note_finds_its_job(dies: Run, mode: str) -> None:
    task = f"after_submit_{mode}"
    dies.until_it_runs(task)
    eventually((dies.folder / f"spark.{task}.died").exists)
    dies.let_go(task)
    dies.until(task, "success")
    assert dies.result(task) == {"runs": 1, "rows": 100}
    assert dies.job_states(task) == ["SUCCEEDED"]


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_that_dies_before_it_reports_keeps_the_result(dies: Run, mode: str) -> None:
    task = f"before_reporting_{mode}"
    dies.let_go(task)
    dies.until(task, "success")
    assert (dies.folder / f"spark.{task}.died").exists()
    assert dies.result(task) == {"runs": 1, "rows": 100}
    assert dies.job_states(task) == ["SUCCEEDED"]


@pytest.mark.parametrize("mode", MODES)
def test_a_retry_after_a_failed_job_starts_one_more(dies: Run, mode: str) -> None:
    task = f"fails_once_{mode}"
    dies.let_go(task)
    dies.until(task, "success")
    assert dies.result(task) == {"runs": 2, "rows": 100}
    assert dies.job_states(task) == ["FAILED", "SUCCEEDED"]
    assert "run 1 was told to fail" in dies.stack.api.log(dies.dag_id, dies.run_id, f"spark.{task}", 1)


def test_nothing_is_left_of_the_run_whose_workers_died(dies: Run) -> None:
    assert dies.stack.api.wait_for_run(dies.dag_id, dies.run_id) == "success"
    dies.assert_nothing_is_left()


def test_a_cleared_task_runs_once_more(start: Start) -> None:
    run = start("cleared")
    tasks = ("done", "done_deferred")
    run.let_go(*tasks)
    for task in tasks:
        run.until(task, "success")
        assert run.result(task) == {"runs": 1, "rows": 100}
    run.stack.api.clear(run.dag_id, run.run_id, *(f"spark.{task}" for task in tasks))
    for task in tasks:
        run.until_it_runs(task, 2)
        run.until(task, "success")
        assert run.result(task) == {"runs": 2, "rows": 100}
        assert run.job_states(task) == ["SUCCEEDED", "SUCCEEDED"]
    run.let_go("holds")
    assert run.stack.api.wait_for_run(run.dag_id, run.run_id) == "success"
    run.assert_nothing_is_left()


def test_a_task_that_a_user_marks_failed_has_its_job_cancelled(start: Start) -> None:
    run = start("marked_task")
    for task in MODES:
        run.until_it_runs(task)
    run.until("deferred", "deferred")
    for task in MODES:
        run.stack.api.mark_task(run.dag_id, run.run_id, f"spark.{task}", "failed")
    _assert_cancelled(run)
    assert run.stack.api.wait_for_run(run.dag_id, run.run_id) == "failed"
    run.assert_nothing_is_left()


def test_a_run_that_a_user_marks_failed_has_its_jobs_cancelled(start: Start) -> None:
    run = start("marked_run")
    for task in MODES:
        run.until_it_runs(task)
    run.until("deferred", "deferred")
    run.stack.api.mark_run(run.dag_id, run.run_id, "failed")
    _assert_cancelled(run)
    run.assert_nothing_is_left()


def test_a_triggerer_that_dies_and_comes_back_loses_and_cancels_nothing(start: Start) -> None:
    run = start("triggerer")
    run.until_it_runs("waits")
    run.until("waits", "deferred")
    run.stack.restart("triggerer")
    assert psutil.pid_exists(run.runs("waits")[0])
    run.let_go("waits")
    run.until("waits", "success")
    assert run.result("waits") == {"runs": 1, "rows": 100}
    assert run.job_states("waits") == ["SUCCEEDED"]
    assert run.stack.api.wait_for_run(run.dag_id, run.run_id) == "success"
    run.assert_nothing_is_left()


def test_the_drivers_log_is_in_the_tasks_log(dies: Run) -> None:
    for mode in MODES:
        assert f"fails_once_{mode}: run 1" in dies.stack.api.log(dies.dag_id, dies.run_id, f"spark.fails_once_{mode}", 1)


def _assert_cancelled(run: Run) -> None:
    for task in MODES:
        (pid,) = run.runs(task)
        eventually(partial(_is_gone, pid), within=60)
        eventually(partial(_has_one_cancelled_job, run, task), within=60)


def _is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def _has_one_cancelled_job(run: Run, task: str) -> bool:
    return run.job_states(task) == ["CANCELLED"]


def _worker(run: Run, task: str) -> psutil.Process:
    """The executor's process that watches over the task's own."""
    for item in run.stack.api.tasks(run.dag_id, run.run_id):
        if item["task_id"] == f"spark.{task}":
            return psutil.Process(item["pid"])
    raise AssertionError(f"{task} has no process")


def test_no_canary_is_shown(start: Start) -> None:
    run = start("dies")
    told = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            told.append((str(process.pid), " ".join(process.cmdline())))
    for path in (path for folder in (run.stack.home, run.root, run.folder) for path in folder.rglob("*")):
        if path.is_file() and path.suffix != ".jsa":
            told.append((str(path), path.read_bytes().decode("utf-8", errors="replace")))
    assert len(told) > 100
    assert [where for where, text in told if any(canary in text for canary in CANARIES.values())] == []
