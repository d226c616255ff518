"""Runs a ready-made DAG on an Airflow and an MLflow of its own, and sums the run up: ``make demo``, ``make demo-streams``.

``flight_streams`` gets a Kafka broker and a key-value store as well.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from scripts.api import Api, task_name
from scripts.homes import ROOT
from scripts.processes import end_on_signals
from scripts.stack import Stack, StackError

DAG = "flight_delays"
STREAMS = "flight_streams"
SHOWN = ("running", "deferred", "success", "failed", "up_for_retry", "upstream_failed", "skipped")
METRICS = ("roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "f1")
Task = Mapping[str, Any]


class Progress:
    """Says on the terminal what has become of each task, once for each state."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._seen: dict[str, str] = {}

    def say(self, text: str) -> None:
        """A line with the seconds since the start."""
        print(f"{time.monotonic() - self._begun:7.1f} s  {text}", flush=True)

    def __call__(self, tasks: list[dict[str, Any]]) -> None:
        for task in tasks:
            name, state = task_name(task), task["state"]
            if state in SHOWN and self._seen.get(name) != state:
                self._seen[name] = state
                took = f" in {task['duration']:.1f} s" if state in ("success", "failed") and task["duration"] else ""
                self.say(f"{name}: {state}{took}")


class Finished:
    """A run that has ended, read through Airflow and MLflow.

    :param results: each task's return value.
    """

    def __init__(self, stack: Stack, dag_id: str, run_id: str) -> None:
        self.run_id = run_id
        self.tasks = stack.api.tasks(dag_id, run_id)
        self.results = {task_name(task): _result(stack.api, dag_id, run_id, task) for task in self.tasks}
        self._mlflow = stack.mlflow_url

    def aliases(self) -> dict[str, str]:
        """The registered model's aliases and the versions that they name."""
        with httpx.Client(base_url=self._mlflow, trust_env=False, timeout=30) as client:
            found = client.get("/api/2.0/mlflow/registered-models/get", params={"name": DAG})
        model = found.json().get("registered_model", {}) if found.is_success else {}
        return {item["alias"]: str(item["version"]) for item in model.get("aliases", [])}


def _result(api: Api, dag_id: str, run_id: str, task: Task) -> Any:
    return api.xcoms(dag_id, run_id, str(task["task_id"]), int(task["map_index"])).get("return_value")


def summary(finished: Finished) -> Iterator[str]:
    """The lines that sum a run up."""
    yield "Tasks"
    for task in finished.tasks:
        yield f"  {task_name(task):<26} {task['state'] or '-':<16} {task['duration'] or 0:7.1f} s"
    results = {name.rpartition(".")[2]: value for name, value in finished.results.items()}
    yield from _section("Rows read", _rows(results.get("ingest")))
    yield from _section("Candidates", _candidates(results))
    yield from _section("Model", _model(results, finished.aliases()))
    yield from _section("Scored", _figures(results.get("score")))
    yield from _section("Streamed", _figures(results.get("stream")))
    yield from _section("Stored", _figures(results.get("store")))


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield from ("", title, *(f"  {line}" for line in lines))


def _rows(result: Any) -> list[str]:
    rows = result.get("rows", {}) if isinstance(result, Mapping) else {}
    return [f"{table:<26} {count:>12,}" for table, count in rows.items()]


def _candidates(results: Mapping[str, Any]) -> list[str]:
    trained = [value for name, value in results.items() if name.startswith("train[") and isinstance(value, Mapping)]
    return [f"{value.get('kind', '?'):<26} {_numbers(value.get('metrics', {}))}" for value in trained]


def _numbers(metrics: Mapping[str, Any]) -> str:
    names = [name for name in METRICS if name in metrics] or sorted(metrics)[:6]
    return "  ".join(f"{name} {metrics[name]:.4f}" for name in names)


def _model(results: Mapping[str, Any], aliases: Mapping[str, str]) -> list[str]:
    registered = results.get("register")
    if not isinstance(registered, Mapping):
        return []
    lines = [f"{registered.get('name', DAG)} version {registered.get('version')}"]
    return lines + [f"@{alias:<25} version {version}" for alias, version in aliases.items()]


def _figures(result: Any) -> list[str]:
    if not isinstance(result, Mapping):
        return []
    shown = {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in result.items()}
    shown = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in shown.items()}
    return [f"{name:<26} {value}" for name, value in shown.items() if isinstance(value, str | int)]


def run(stack: Stack, dag_id: str, conf: Mapping[str, Any], progress: Progress, timeout: float) -> bool:
    """Run the DAG to its end and sum it up; whether it succeeded."""
    run_id = stack.api.trigger(dag_id, conf)
    progress.say(f"{dag_id} has begun: {run_id}")
    state = stack.api.wait_for_run(dag_id, run_id, timeout=timeout, watch=progress)
    progress.say(f"{dag_id}: {state}")
    print("\n" + "\n".join(summary(Finished(stack, dag_id, run_id))))
    for task in stack.api.tasks(dag_id, run_id):
        if task["state"] == "failed":
            log = stack.api.log(dag_id, run_id, task["task_id"], task["try_number"], task["map_index"])
            print(f"\nThe log of {task_name(task)} ends with\n{log[-3000:]}", file=sys.stderr)
    return state == "success"


def _services(dag_id: str, until: ExitStack) -> dict[str, str]:
    """Start what the DAG talks to beside Spark, and say where it is."""
    if dag_id != STREAMS:
        return {}
    from tests.servers.kafka import kafka
    from tests.servers.redis import redis

    return {"brokers": until.enter_context(kafka()), "store": until.enter_context(redis())}


def main() -> int:
    """Run the demo; 0 when the DAG succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dag", choices=(DAG, STREAMS), default=DAG)
    parser.add_argument("--home", type=Path, default=ROOT / ".demo", help="the folder it all stands in")
    parser.add_argument("--days", type=int, help="the year's first days only; 0 takes all")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds that the DAG may take")
    args = parser.parse_args()
    end_on_signals()
    progress = Progress()
    progress.say("starting Airflow and MLflow")
    try:
        with ExitStack() as until:
            conf: dict[str, Any] = _services(args.dag, until)
            stack = until.enter_context(Stack(args.home))
            progress.say("Airflow and MLflow are up")
            conf |= {} if args.days is None else {"days": args.days}
            good = run(stack, args.dag, conf, progress, args.timeout)
    except KeyboardInterrupt:
        print("Stopped; nothing is left running.", file=sys.stderr)
        return 130
    except (StackError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    where = args.home if args.home != ROOT / ".demo" else ".demo"
    print(f"\nLook at it in the browser with: make up IN={where}\nEverything stands in {args.home}; nothing is left running.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
