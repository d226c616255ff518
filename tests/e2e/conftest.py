"""One real Airflow with one real MLflow for all tests of this folder, and clusters on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.core.state import ClusterState
from scripts.stack import Stack
from tests.processes import assert_nothing_runs, eventually

CANARIES = {name: f"canary-{name}-5b9e-never-shown" for name in ("mlflow", "credentials", "extra")}
PATIENCE = 600.0
"""Seconds that a task may take: a dozen JVMs that start side by side on a busy machine take minutes."""
QUICK = {
    "core.parallelism": "16",
    # Parsing all files anew keeps a core busy for seconds. Files that change are parsed at once in any case.
    "dag_processor.min_file_process_interval": "3600",
    "scheduler.task_instance_heartbeat_timeout": "20",
    "scheduler.task_instance_heartbeat_timeout_detection_interval": "2",
    "workers.min_heartbeat_interval": "1",
    "triggerer.triggerer_health_check_threshold": "8",
    "triggerer.job_heartbeat_sec": "1",
}


@dataclass
class Run:
    """One DAG run on a cluster of its own.

    :param folder: where its programs note that they ran and wait to be let go.
    """

    stack: Stack
    root: Path
    dag_id: str
    run_id: str
    folder: Path
    _cluster: str = ""

    def state(self, task: str) -> str | None:
        return self.stack.api.states(self.dag_id, self.run_id).get(f"spark.{task}")

    def until(self, task: str, *states: str) -> None:
        eventually(lambda: self.state(task) in states, within=PATIENCE)

    def runs(self, task: str) -> list[int]:
        """The process ids of every run of the task's program, first to last."""
        noted = self.folder / f"{task}.runs"
        return [int(line) for line in noted.read_text().splitlines()] if noted.exists() else []

    def until_it_runs(self, task: str, times: int = 1) -> None:
        eventually(lambda: len(self.runs(task)) == times, within=PATIENCE)

    def let_go(self, *tasks: str) -> None:
        for task in tasks:
            (self.folder / f"{task}.go").touch()

    def result(self, task: str) -> Any:
        return self.stack.api.xcoms(self.dag_id, self.run_id, f"spark.{task}").get("return_value")

    def logs(self, task: str) -> str:
        """The logs of all tries: on a busy machine Airflow's scheduler may take one that was deferred for dead, and try once more."""
        items = self.stack.api.tasks(self.dag_id, self.run_id)
        tries = next(item["try_number"] for item in items if item["task_id"] == f"spark.{task}")
        each = (self.stack.api.log(self.dag_id, self.run_id, f"spark.{task}", number) for number in range(1, tries + 1))
        return "\n".join(each)

    def cluster(self) -> str:
        """The cluster's handle, as first seen: a Clear takes the XCom away for a moment."""
        if not self._cluster:
            self._cluster = str(self.stack.api.xcoms(self.dag_id, self.run_id, "spark.create_cluster")["return_value"])
        return self._cluster

    def cluster_folder(self) -> Path:
        return self.root / "clusters" / self.cluster().rpartition("/")[2]

    def job_states(self, task: str) -> list[str]:
        """What became of every job of the task, in the order in which they started."""
        found = []
        for job in (self.cluster_folder() / "jobs").iterdir():
            if json.loads((job / "plan.json").read_text())["name"] == task:
                found.append(json.loads((job / "status.json").read_text()))
        return [status["state"] for status in sorted(found, key=lambda status: status["started_at"])]

    def assert_nothing_is_left(self) -> None:
        """No process, so no port; and no cluster."""
        folder = self.cluster_folder()
        backend = LocalBackend(self.root)
        state = eventually(lambda: _if_ended(backend.describe([folder.name])[folder.name].state), within=60)
        assert state is ClusterState.TERMINATED
        assert_nothing_runs(folder)
        assert folder.name not in {cluster.id for cluster in backend.owned()}
        assert not (folder / "scratch").exists()


def _if_ended(state: ClusterState) -> ClusterState | None:
    return state if state in (ClusterState.TERMINATED, ClusterState.FAILED) else None


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, spark_root: Path) -> Iterator[Stack]:
    """An Airflow for all tests of this folder, and no longer: its scheduler, triggerer and servers cost a third of a core."""
    extra = {"backend": "local", "staging_uri": str(spark_root), "credentials_conn_id": "service"}
    connections = {
        "spark_cluster_default": {"conn_type": "spark_cluster", "extra": json.dumps(extra)},
        "service": {"conn_type": "generic", "password": CANARIES["credentials"], "extra": json.dumps({"key": CANARIES["extra"]})},
    }
    home = tmp_path_factory.getbasetemp() / "airflow"
    with Stack(home, dags=Path(__file__).parent / "dags", settings=QUICK, connections=connections) as stack:
        opened = {"conn_type": "mlflow", "host": stack.mlflow_url, "login": "airflow", "password": CANARIES["mlflow"]}
        stack.api.put_connection("mlflow_default", opened)
        yield stack
        running = stack.processes()
    backend = LocalBackend(spark_root)
    for cluster in backend.owned():
        backend.terminate(cluster.id)
    assert not [process for process in running if psutil.pid_exists(process.pid) and process.status() != psutil.STATUS_ZOMBIE]
    assert_nothing_runs(spark_root / "clusters", within=120)


@pytest.fixture(scope="package")
def start(stack: Stack, spark_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """The one run of a case, by its DAG's id; started when it is first asked for."""

    @cache
    def started(dag_id: str) -> Run:
        folder = tmp_path_factory.mktemp(dag_id)
        return Run(stack, spark_root, dag_id, stack.api.trigger(dag_id, {"folder": str(folder)}), folder)

    return started
