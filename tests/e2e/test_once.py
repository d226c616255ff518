"""Work is done once, and what a user ends has an end: processes really killed, on a real Airflow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

import psutil
import pytest

from tests.e2e.conftest import CANARIES, Run
from tests.processes import eventually

MODES = ("sync", "deferred")


@pytest.fixture(scope="package")
def runs(start: Callable[[str], Run]) -> tuple[Run, Run]:
    """The run of all cases but one, and the run that is marked as a whole: they start side by side."""
    return start("once"), start("marked_run")


@pytest.fixture
def once(runs: tuple[Run, Run]) -> Run:
    return runs[0]


@pytest.fixture
def marked_run(runs: tuple[Run, Run]) -> Run:
    return runs[1]


def test_no_canary_is_in_an_argument_list_while_jobs_run(once: Run) -> None:
    once.until_it_runs("while_running")
    once.until_it_runs("outlives_triggerer")
    assert [line for line in _command_lines() if any(canary in line for canary in CANARIES.values())] == []


def test_a_worker_that_dies_while_the_job_runs_finds_it_again(once: Run) -> None:
    task = "while_running"
    once.until_it_runs(task)
    worker = _worker(once, task)
    for process in (*worker.children(recursive=True), worker):
        process.kill()
    once.let_go(task)
    once.until(task, "success")
    assert once.result(task) == {"runs": 1, "rows": 100}
    assert once.job_states(task) == ["SUCCEEDED"]


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_that_dies_between_the_answer_and_the_note_finds_its_job(once: Run, mode: str) -> None:
    task = f"after_submit_{mode}"
    once.until_it_runs(task)
    eventually((once.folder / f"spark.{task}.died").exists)
    once.let_go(task)
    once.until(task, "success")
    assert once.result(task) == {"runs": 1, "rows": 100}
    assert once.job_states(task) == ["SUCCEEDED"]


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_that_dies_before_it_reports_keeps_the_result(once: Run, mode: str) -> None:
    task = f"before_reporting_{mode}"
    once.let_go(task)
    once.until(task, "success")
    assert (once.folder / f"spark.{task}.died").exists()
    assert once.result(task) == {"runs": 1, "rows": 100}
    assert once.job_states(task) == ["SUCCEEDED"]


@pytest.mark.parametrize("mode", MODES)
def test_a_retry_after_a_failed_job_starts_one_more(once: Run, mode: str) -> None:
    task = f"fails_once_{mode}"
    once.let_go(task)
    once.until(task, "success")
    assert once.result(task) == {"runs": 2, "rows": 100}
    assert once.job_states(task) == ["FAILED", "SUCCEEDED"]
    assert "run 1 was told to fail" in once.logs(task)


def test_a_cleared_task_runs_once_more(once: Run) -> None:
    tasks = [f"cleared_{mode}" for mode in MODES]
    once.let_go(*tasks)
    for task in tasks:
        once.until(task, "success")
        assert once.result(task) == {"runs": 1, "rows": 100}
    once.stack.api.clear(once.dag_id, once.run_id, *(f"spark.{task}" for task in tasks))
    for task in tasks:
        once.until_it_runs(task, 2)
        once.until(task, "success")
        assert once.result(task) == {"runs": 2, "rows": 100}
        assert once.job_states(task) == ["SUCCEEDED", "SUCCEEDED"]


def test_a_task_that_a_user_marks_failed_has_its_job_cancelled(once: Run) -> None:
    _until_both_wait(once)
    for mode in MODES:
        once.stack.api.mark_task(once.dag_id, once.run_id, f"spark.marked_{mode}", "failed")
    _assert_cancelled(once)


def test_a_run_that_a_user_marks_failed_has_its_jobs_cancelled(marked_run: Run) -> None:
    _until_both_wait(marked_run)
    marked_run.stack.api.mark_run(marked_run.dag_id, marked_run.run_id, "failed")
    _assert_cancelled(marked_run)
    marked_run.assert_nothing_is_left()


def test_a_triggerer_that_dies_and_comes_back_loses_and_cancels_nothing(once: Run) -> None:
    task = "outlives_triggerer"
    once.until_it_runs(task)
    once.until(task, "deferred")
    once.stack.restart("triggerer")
    assert psutil.pid_exists(once.runs(task)[0])
    once.let_go(task)
    once.until(task, "success")
    assert once.result(task) == {"runs": 1, "rows": 100}
    assert once.job_states(task) == ["SUCCEEDED"]


def test_nothing_is_left_of_the_run(once: Run) -> None:
    assert once.stack.api.wait_for_run(once.dag_id, once.run_id) == "failed"  # as two of its tasks were marked
    once.assert_nothing_is_left()


def test_the_drivers_log_is_in_the_tasks_log(once: Run) -> None:
    for mode in MODES:
        assert f"fails_once_{mode}: run 1" in once.logs(f"fails_once_{mode}")


def _until_both_wait(run: Run) -> None:
    for mode in MODES:
        run.until_it_runs(f"marked_{mode}")
    run.until("marked_deferred", "deferred")


def _assert_cancelled(run: Run) -> None:
    for task in (f"marked_{mode}" for mode in MODES):
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


def _command_lines() -> list[str]:
    """Of every process of this machine."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            found.append(" ".join(process.cmdline()))
    return found


def test_no_canary_is_in_a_file(once: Run) -> None:
    """Logs, the databases, what the jobs left: nobody needs to read them to know it."""
    paths = [path for folder in (once.stack.home, once.root, once.folder) for path in folder.rglob("*")]
    told = {path: path.read_bytes() for path in paths if path.is_file()}
    assert len(told) > 100
    assert [path for path, text in told.items() if any(canary.encode() in text for canary in CANARIES.values())] == []
