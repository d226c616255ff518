"""The Spark steps of the DAG ``flight_delays``: ours, the same by the official ``SparkSubmitOperator``, and one plain PySpark script.

    dag_steps.py [--repeats 3] [--days 31]

The steps are ingest, validate, features, two trainings in parallel, score.

- ours: tasks on one cluster; from the start of the task that creates it to the end of ``score``. Ending the cluster comes after, and
  is shown by itself.
- official: the same scripts in the same graph on the same Airflow, a ``spark-submit --master local[*]`` each; from the start of
  ``ingest`` to the end of ``score``. Its MLflow runs are made by a task before, which does not count; ours are made within.
- plain: the same functions one after the other in one classic session, without Airflow; the whole process.

Airflow's time between tasks is in the first two. All log to one MLflow server. All have the heap that our clusters have when a user sets
none; what else Spark has as defaults stays, so that our clusters have fewer shuffle partitions (8 on two cores) than the others (200). Not counted: the class-data archive, which the machine's first cluster makes. Of ours and the plain
script it is shown where the time goes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from clusters import heap, java_home, make_archive
from table import print_ratio, print_times

from scripts.processes import end_on_signals
from scripts.stack import Stack

STEPS = ("create_cluster", "ingest", "validate", "features", "train_logistic", "train_boosted_trees", "score")
PLAIN = Path(__file__).parent / "plain_flight_delays.py"
SPARK = {"spark_default": {"conn_type": "spark", "host": "local[*]", "extra": '{"spark-binary": "spark-submit"}'}}
LIMIT = 3600.0
TO_OFFICIAL, TO_PLAIN = 0.5, 1.5
Spans = dict[str, tuple[float, float]]


def run_dag(stack: Stack, dag_id: str, output: Path, days: int) -> Spans:
    """Begin and end of each task, as seconds of the clock."""
    conf = {"output": str(output), "days": days, "mlflow": stack.mlflow_url}
    run_id = stack.api.trigger(dag_id, conf)
    if stack.api.wait_for_run(dag_id, run_id, timeout=LIMIT) != "success":
        raise RuntimeError(f"the tasks of {dag_id} are {stack.api.states(dag_id, run_id)}")
    return {task["task_id"].rpartition(".")[2]: _span(task) for task in stack.api.tasks(dag_id, run_id)}


def _span(task: dict[str, Any]) -> tuple[float, float]:
    begun, ended = (datetime.fromisoformat(task[name]).timestamp() for name in ("start_date", "end_date"))
    return begun, ended


def wall(spans: Spans) -> float:
    """From the start of the first Spark task to the end of the last."""
    found = [spans[name] for name in STEPS if name in spans]
    return max(ended for _, ended in found) - min(begun for begun, _ in found)


def run_plain(stack: Stack, output: Path, days: int) -> tuple[float, dict[str, float]]:
    """The seconds of the process, and of each step as it tells them."""
    where = ["--output", str(output), "--days", str(days), "--tracking-uri", stack.mlflow_url]
    begun = time.perf_counter()
    env = {**stack.env, "PYSPARK_SUBMIT_ARGS": f"--driver-memory {stack.env['BENCHMARK_HEAP']} pyspark-shell"}
    done = subprocess.run([sys.executable, str(PLAIN), *where], env=env, text=True, capture_output=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{PLAIN.name} failed:\n{done.stderr[-3000:]}")
    return seconds, json.loads(done.stdout.splitlines()[-1])


def print_tasks(title: str, runs: Sequence[Spans]) -> None:
    """The median seconds of each task, and those between the tasks on the way from the first to the last."""
    print(f"\n{title}")
    for name in (*STEPS, "terminate_cluster"):
        if name in runs[0]:
            print(f"  {name:<22} {statistics.median(spans[name][1] - spans[name][0] for spans in runs):7.2f} s")
    print(f"  {'between the tasks':<22} {statistics.median(map(between, runs)):7.2f} s", flush=True)


def between(spans: Spans) -> float:
    """The seconds in which no task ran: Airflow's own."""
    found = sorted(spans[name] for name in STEPS if name in spans)
    idle, reached = 0.0, found[0][1]
    for begun, ended in found[1:]:
        idle += max(0.0, begun - reached)
        reached = max(reached, ended)
    return idle


def measure(folder: Path, repeats: int, days: int) -> None:
    """Run all sides in turn and print."""
    home = folder / "airflow"
    make_archive(home / "spark")
    env = {**java_home(home / "spark"), "BENCHMARK_HEAP": heap(home / "spark")}
    ours, official, plain = [], [], []
    with Stack(home, dags=Path(__file__).parent / "dags", connections=SPARK, env=env) as stack:
        for number in range(repeats):
            ours.append(run_dag(stack, "steps_ours", folder / f"ours-{number}", days))
            print(f"ours {wall(ours[-1]):.1f} s", end=", ", flush=True)
            official.append(run_dag(stack, "steps_official", folder / f"official-{number}", days))
            print(f"official {wall(official[-1]):.1f} s", end=", ", flush=True)
            plain.append(run_plain(stack, folder / f"plain-{number}", days))
            print(f"plain {plain[-1][0]:.1f} s", flush=True)
    times = {"ours": [*map(wall, ours)], "official": [*map(wall, official)], "plain": [seconds for seconds, _ in plain]}
    print_tasks("ours, by task", ours)
    print_tasks("official, by task", official)
    print("\nplain, by step (of the last run)")
    for name, seconds in plain[-1][1].items():
        print(f"  {name:<22} {seconds:7.2f} s")
    print_times(f"{f'the first {days} days' if days else 'the whole year'}", times)
    print_ratio("ours to official", times["ours"], times["official"], TO_OFFICIAL)
    print_ratio("ours to plain", times["ours"], times["plain"], TO_PLAIN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--days", type=int, default=0, help="the year's first days only; 0 takes all")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), args.repeats, args.days)


if __name__ == "__main__":
    end_on_signals()
    main()
