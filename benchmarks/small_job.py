"""One small job on a cluster that runs already, against the same script by the official ``SparkSubmitOperator``.

    small_job.py [--repeats 5]

The job counts 1000 rows and hands nothing back. Two comparisons:

- As tasks of one run on a real Airflow (SQLite, LocalExecutor), in turn: from the task's start to its end as Airflow records them.
  Airflow's scheduling and the start of the task's process come before a task's start and are in neither side.
- Without Airflow: from handing the program to the local backend until it is seen to have ended (a look each 10 ms), against the whole
  of ``spark-submit --master local[*]``, which is what the official operator runs.

Not counted: starting our cluster, which other jobs share. It idles while the official side runs. Each side has a first turn that does
not count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from clusters import COUNT, cluster, java_home, make_archive
from table import print_ratio, print_times

from scripts.processes import end_on_signals
from scripts.stack import Stack

DAG = "small_jobs"
SIDES = ("ours", "official")
SPARK = {"spark_default": {"conn_type": "spark", "host": "local[*]", "extra": '{"spark-binary": "spark-submit"}'}}
AS_TASKS, ALONE = 0.25, 0.1


def as_tasks(home: Path, repeats: int) -> dict[str, list[float]]:
    """Seconds of each task by side."""
    env = {**java_home(home / "spark"), "BENCHMARK_REPEATS": str(repeats)}
    with Stack(home, dags=Path(__file__).parent / "dags", connections=SPARK, env=env, mlflow=False) as stack:
        run_id = stack.api.trigger(DAG)
        if stack.api.wait_for_run(DAG, run_id, timeout=600 + 60 * repeats) != "success":
            raise RuntimeError(f"the tasks are {stack.api.states(DAG, run_id)}")
        tasks = {task["task_id"].rpartition(".")[2]: task for task in stack.api.tasks(DAG, run_id)}
    return {side: [_seconds(tasks[f"{side}_{number}"]) for number in range(1, repeats + 1)] for side in SIDES}


def _seconds(task: dict[str, str]) -> float:
    begun, ended = (datetime.fromisoformat(task[name]) for name in ("start_date", "end_date"))
    return (ended - begun).total_seconds()


def alone(root: Path, repeats: int) -> dict[str, list[float]]:
    """Seconds of each job by side, without Airflow."""
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    with cluster(root) as running:
        for _ in range(repeats + 1):
            found["ours"].append(running.run(COUNT))
            found["official"].append(submit(root))
    return {side: seconds[1:] for side, seconds in found.items()}


def submit(root: Path) -> float:
    """The seconds of one ``spark-submit``."""
    bin_ = Path(sys.executable).parent
    command = [str(bin_ / "spark-submit"), "--master", "local[*]", str(COUNT)]
    env = {**os.environ, **java_home(root), "PATH": os.pathsep.join((str(bin_), os.environ["PATH"]))}
    begun = time.perf_counter()
    subprocess.run(command, env=env, check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_archive(home / "spark")
        show("as tasks", as_tasks(home, args.repeats), AS_TASKS)
        show("without Airflow", alone(home / "spark", args.repeats), ALONE)


def show(title: str, found: dict[str, list[float]], bound: float) -> None:
    print_times(title, found)
    print_ratio("ours to official", found["ours"], found["official"], bound)


if __name__ == "__main__":
    end_on_signals()
    main()
