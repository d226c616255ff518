"""A storm of faults and kills on a real Airflow, with its clusters on the memory service and on EMR's fake.

Its seed repeats one, as far as processes allow. It lasts until all runs have ended, and its faults ``SOAK_MINUTES`` (15) at most.
``SOAK_RUNS`` (50) says how many runs go through.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from airflow_ml_provider.backends.memory import MemoryService
from airflow_ml_provider.core.state import ClusterState, JobState
from scripts.api import ApiError
from scripts.stack import Stack
from tests.e2e.conftest import CANARIES, QUICK
from tests.fakes import emr, memory, shared_memory
from tests.fakes.emr_faults import CALLS
from tests.fakes.faults import Faults
from tests.processes import assert_nothing_runs
from tests.seed import SEED
from tests.soak.weather import DAG_ID, Service, Storm

pytestmark = pytest.mark.soak
ROOT = Path(__file__).parents[2]
EXPECTED = {"waits": 1, "deferred": 1, "fails_once": 2}
"""The tasks of a run, and how often the program of each runs: a retry after a failed job is a new job."""
SETTINGS = {
    **QUICK,
    "scheduler.orphaned_tasks_check_interval": "5",
    # A busy machine is no dead one: Airflow ends the processes of tasks that it gives up, and these cancel their jobs.
    "scheduler.scheduler_health_check_threshold": "45",
    "scheduler.task_instance_heartbeat_timeout": "45",
    "scheduler.scheduler_heartbeat_sec": "1",
    "scheduler.job_heartbeat_sec": "1",
}


class Scene(ABC):
    """One service: what Airflow needs to reach it, and what it tells at the end."""

    backend: str
    secret = ""
    """What a job that is given MLflow's password hands back of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.notes = folder, folder / "notes"
        self.notes.mkdir()
        self.env: dict[str, str] = {}

    @abstractmethod
    def service(self) -> Service:
        """For the storm."""

    @abstractmethod
    def connections(self) -> dict[str, Any]:
        """By id, in the fields of Airflow's REST API."""

    @abstractmethod
    def count_clusters(self) -> Counter[str]:
        """The clusters by state."""

    @abstractmethod
    def count_jobs(self) -> Counter[str]:
        """The jobs by state."""

    @abstractmethod
    def assert_nothing_is_left(self) -> None:
        """No job, no process, no file of a cluster."""


class StormMemory(MemoryService):
    """Notes each job as a program would, and has the first job of a task that is to fail once fail."""

    notes: Path

    def submit(self, cluster: str, plan: Mapping[str, Any], token: str, secrets: Mapping[str, str]) -> str:
        with self.lock:
            is_new = f"j-{token}" not in getattr(self.clusters.get(cluster), "jobs", ())
            note = self.notes / f"{plan['env']['WHO']}.{plan['name']}"
            fails = plan["name"] == "fails_once" and not note.exists()
            scripted = {"outcome": JobState.FAILED.value, "message": "told to fail"} if fails else {}
            job = super().submit(cluster, {**plan, **scripted}, token, secrets)
            if is_new:
                with note.open("a") as noted:
                    noted.write("0\n")
        return job


class MemoryScene(Scene):
    """The memory service, which this process serves to those of Airflow."""

    backend = "memory"

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder)
        self.memory, self.faults = StormMemory(), Faults()
        self.memory.notes = self.notes
        self.memory.wire = memory.FaultyWire(self.memory, self.faults)
        self.address = stack.enter_context(shared_memory.serving(self.memory, folder))
        (folder / "airflow" / "config").mkdir(parents=True)
        (folder / "airflow" / "config" / "airflow_local_settings.py").write_text(
            shared_memory.SETTINGS.format(address=self.address)
        )
        self.env = {"PYTHONPATH": str(ROOT)}

    def service(self) -> Service:
        return Service(self.faults, frozenset({"create", "submit"}), frozenset({"describe", "poll"}), ("logs",), has_tokens=True)

    def connections(self) -> dict[str, Any]:
        extra = {"backend": "memory", "staging_uri": self.address}
        return {"spark_cluster_default": {"conn_type": "spark_cluster", "extra": json.dumps(extra)}}

    def count_clusters(self) -> Counter[str]:
        return Counter(cluster.state.value for cluster in self.memory.clusters.values())

    def count_jobs(self) -> Counter[str]:
        return Counter(job.state.value for cluster in self.memory.clusters.values() for job in cluster.jobs.values())

    def assert_nothing_is_left(self) -> None:
        assert {*self.count_clusters()} == {ClusterState.TERMINATED}
        assert {*self.count_jobs()} <= {JobState.SUCCEEDED, JobState.FAILED}
        jobs = [job for cluster in self.memory.clusters.values() for job in cluster.jobs.values()]
        secrets = {job.secrets.get("MLFLOW_TRACKING_PASSWORD") for job in jobs if job.plan["name"] == "deferred"}
        assert secrets == {CANARIES["mlflow"]}


class EmrScene(Scene):
    """EMR's fake, which runs the programs."""

    backend = "emr"
    secret = hashlib.sha256(CANARIES["mlflow"].encode()).hexdigest()

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder)
        self.aws = stack.enter_context(emr.serving(emr.Services(speed=1)))

    def service(self) -> Service:
        makes = frozenset({"RunJobFlow", "AddJobFlowSteps"})
        shows = frozenset({"DescribeCluster", "ListSteps", "ListClusters", "DescribeStep"})
        assert CALLS["emr"]["create"] in makes
        return Service(self.aws.faults, makes, shows, ("stdout.gz",), has_tokens=False)

    def connections(self) -> dict[str, Any]:
        signed = {"endpoint_url": self.aws.endpoint, "region_name": emr.REGION, "note": CANARIES["extra"]}
        key = {"conn_type": "aws", "login": "access-key", "password": CANARIES["credentials"], "extra": json.dumps(signed)}
        extra = {"backend": "emr", "credentials_conn_id": "aws_fake", "staging_uri": f"s3://{emr.BUCKET}/storm"}
        return {"spark_cluster_default": {"conn_type": "spark_cluster", "extra": json.dumps(extra)}, "aws_fake": key}

    def count_clusters(self) -> Counter[str]:
        return Counter(cluster.state for cluster in self.aws.clusters.values())

    def count_jobs(self) -> Counter[str]:
        return Counter(job.state for cluster in self.aws.clusters.values() for job in cluster.jobs.values())

    def assert_nothing_is_left(self) -> None:
        assert {*self.count_clusters()} == {"TERMINATED"}
        assert {*self.count_jobs()} <= {"COMPLETED", "FAILED"}
        assert_nothing_runs(self.aws.root, within=60)
        s3 = emr.client(self.aws.inner, "s3")
        left = [item["Key"] for item in s3.list_objects_v2(Bucket=emr.BUCKET, Prefix="storm/clusters/").get("Contents", ())]
        assert not left, left
        assert not s3.list_multipart_uploads(Bucket=emr.BUCKET).get("Uploads")


@contextmanager
def _airflow(scene: Scene) -> Iterator[Stack]:
    env = {**scene.env, "STORM_BACKEND": scene.backend}
    home, dags = scene.folder / "airflow", Path(__file__).parent / "dags"
    with Stack(home, dags=dags, settings=SETTINGS, connections=scene.connections(), env=env) as stack:
        opened = {"conn_type": "mlflow", "host": stack.mlflow_url, "login": "airflow", "password": CANARIES["mlflow"]}
        stack.api.put_connection("mlflow_default", opened)
        yield stack


def _states(stack: Stack) -> dict[str, str]:
    found = stack.api.call("GET", f"/dags/{DAG_ID}/dagRuns", params={"limit": 100})["dag_runs"]
    return {run["dag_run_id"]: run["state"] for run in found}


def _assert_all_is_right(scene: Scene, stack: Stack, storm: Storm, runs: list[str]) -> None:
    states = _states(stack)
    failed = {run: stack.api.states(DAG_ID, run) for run in runs if states[run] != "success"}
    assert not failed, failed
    for run in runs:
        for name, times in EXPECTED.items():
            noted = (scene.notes / f"{run}.{name}").read_text().splitlines()
            assert len(noted) == times, f"{run}: {name} ran {len(noted)} times, not {times}"
            result = stack.api.xcoms(DAG_ID, run, f"spark.{name}")["return_value"]
            secret = scene.secret if name == "deferred" else hashlib.sha256(b"").hexdigest() if scene.secret else ""
            assert result == {"who": run, "name": name, "secret": secret}
    assert scene.count_clusters().total() == len(runs)
    assert scene.count_jobs().total() == len(runs) * sum(EXPECTED.values())
    scene.assert_nothing_is_left()
    assert not storm.seen, storm.seen


def _assert_no_secret_is_in_a_file(scene: Scene) -> None:
    files = [path for path in scene.folder.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert [path for path in files if any(canary.encode() in path.read_bytes() for canary in CANARIES.values())] == []


@pytest.mark.parametrize("kind", [MemoryScene, EmrScene])
def test_a_storm_of_faults_and_kills_loses_and_repeats_nothing(kind: Callable[..., Scene], tmp_path: Path) -> None:
    minutes, count = float(os.environ.get("SOAK_MINUTES", "15")), int(os.environ.get("SOAK_RUNS", "50"))
    with ExitStack() as held:
        scene = kind(tmp_path, held)
        with _airflow(scene) as stack:
            runs = [f"storm-{number:02}" for number in range(count)]
            for run in runs:
                _start(stack, run, scene.notes)
            storm = Storm(stack, scene.service(), SEED, canaries=CANARIES.values())
            begun = time.monotonic()
            while not _ended(stack) and time.monotonic() - begun < 60 * minutes:
                storm.blow()
            storm.calm()
            ended_in_storm = sum(state in ("success", "failed") for state in _states(stack).values())
            try:
                _wait_for_all(stack)
                _assert_all_is_right(scene, stack, storm, runs)
            finally:
                print({"runs": count, "ended in the storm": ended_in_storm, "minutes": round((time.monotonic() - begun) / 60, 1)})
                print(
                    {
                        "clusters": dict(scene.count_clusters()),
                        "jobs": dict(scene.count_jobs()),
                        **dict(sorted(storm.done.items())),
                    }
                )
            running = stack.processes()
        _assert_no_secret_is_in_a_file(scene)
        assert not [process for process in running if psutil.pid_exists(process.pid) and process.status() != psutil.STATUS_ZOMBIE]
        assert_nothing_runs(scene.folder, within=60)
    assert storm.done["killed triggerer"] + storm.done["killed scheduler"]


def _start(stack: Stack, run: str, notes: Path) -> None:
    """Start a run, once: Airflow on SQLite answers 500 while another process writes, perhaps after it has made the run."""
    for _ in range(20):
        try:
            stack.api.trigger(DAG_ID, {"folder": str(notes)}, dag_run_id=run)
        except ApiError as error:
            if error.status == httpx.codes.CONFLICT:
                return
            if error.status < 500:
                raise
            time.sleep(1)
        else:
            return
    raise AssertionError(f"{run} was not started")


def _wait_for_all(stack: Stack, minutes: float = 45) -> None:
    """Until every run has ended, without faults. A claim that a lost call left behind takes minutes to pass."""
    deadline = time.monotonic() + 60 * minutes
    while not _ended(stack):
        assert time.monotonic() < deadline, _states(stack)
        stack.check()
        time.sleep(2)


def _ended(stack: Stack) -> bool:
    return all(state in ("success", "failed") for state in _states(stack).values())
