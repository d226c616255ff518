"""A storm of kills on the local backend. ``SOAK_MINUTES`` (3) says how long it lasts."""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections import Counter
from pathlib import Path

import psutil
import pytest

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.core.errors import NotFound
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode
from airflow_ml_provider.core.state import ClusterState, JobState
from tests.processes import assert_nothing_runs, eventually, processes_of
from tests.seed import SEED

pytestmark = pytest.mark.soak
CLUSTERS = 2
JOBS_AT_ONCE = 8
PROGRAMS = (
    "import time; time.sleep({seconds})",
    "from pyspark.sql import SparkSession; print(SparkSession.builder.getOrCreate().range(10**6).selectExpr('sum(id)').collect())",
    "raise ValueError('as told')",
    "import subprocess; subprocess.Popen(['sleep', '7777'], start_new_session=True); import time; time.sleep({seconds})",
)


class Storm:
    """Clusters, jobs, and what has been done to them."""

    def __init__(self, root: Path, notes: Path) -> None:
        self.backend = LocalBackend(root)
        self.root, self.notes = root, notes
        self.chance = random.Random(SEED)
        self.live: list[str] = []
        self.jobs: list[tuple[str, str]] = []
        self.done: Counter[str] = Counter()

    def blow(self) -> None:
        """One thing that happens."""
        while len(self.live) < CLUSTERS:
            self.live.append(self.backend.create(self.backend.plan_cluster(ClusterSpec()), token=uuid.uuid4().hex[:24]))
            self.done["clusters made"] += 1
        cluster = self.chance.choice(self.live)
        running = self.backend.describe([cluster])[cluster].state is ClusterState.RUNNING
        if running or self.chance.random() < 0.02:  # now and then, while it starts
            self.chance.choices((self.submit, self.cancel, self.kill_some, self.terminate), (60, 15, 8, 2))[0](cluster)
        states = self.backend.describe(self.live)
        self.live = [cluster for cluster in self.live if not states[cluster].state.ended]
        time.sleep(self.chance.uniform(0, 0.3))

    def submit(self, cluster: str) -> None:
        running = [job for owner, job in self.jobs if owner == cluster and not self.backend.poll(owner, [job])[job].state.ended]
        if self.backend.describe([cluster])[cluster].state is not ClusterState.RUNNING or len(running) >= JOBS_AT_ONCE:
            return
        name = uuid.uuid4().hex
        note = f"open({str(self.notes / name)!r}, 'a').write('x')\n"
        source = note + self.chance.choice(PROGRAMS).format(seconds=self.chance.uniform(0, 5))
        plan = self.backend.plan_job(JobSpec(name=name, program=PythonCode(source=source)))
        for _ in range(self.chance.randint(1, 3)):
            try:
                job = self.backend.submit(cluster, plan, token=name[:24])
            except NotFound:
                return
        self.jobs.append((cluster, job))
        self.done["jobs"] += 1

    def cancel(self, cluster: str) -> None:
        mine = [job for owner, job in self.jobs if owner == cluster]
        if mine:
            self.backend.cancel(cluster, self.chance.choice(mine))
            self.done["cancels"] += 1

    def kill_some(self, cluster: str) -> None:
        folder = self.root / "clusters" / cluster
        found = processes_of(folder if self.chance.random() < 0.1 else folder / "jobs")
        if found:
            try:
                self.chance.choice(found).kill()
            except psutil.NoSuchProcess:
                return
            self.done["processes killed"] += 1

    def terminate(self, cluster: str) -> None:
        self.backend.terminate(cluster)
        self.done["clusters terminated"] += 1

    def calm(self) -> None:
        """End everything; then nothing is left, and no job ran twice or ended without a verdict."""
        for cluster in {owner for owner, _ in self.jobs} | set(self.live):
            self.backend.terminate(cluster)
            ended = (ClusterState.TERMINATED, ClusterState.FAILED)
            eventually(lambda cluster=cluster, ended=ended: self.backend.describe([cluster])[cluster].state in ended, within=180)
        assert_nothing_runs(self.root / "clusters", within=60)
        assert not [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == ["sleep", "7777"]]
        assert not list(self.backend.owned())
        for cluster, job in self.jobs:
            state = self.backend.poll(cluster, [job])[job].state
            assert state.ended
            self.done[f"jobs {state.lower()}"] += 1
            if state is JobState.SUCCEEDED:
                assert self._runs(cluster, job) == 1
            assert self._runs(cluster, job) <= 1
        assert not list((self.root / "clusters").glob("*/scratch"))

    def _runs(self, cluster: str, job: str) -> int:
        name = json.loads((self.root / "clusters" / cluster / "jobs" / job / "plan.json").read_text())["name"]
        note = self.notes / name
        return len(note.read_text()) if note.exists() else 0


def test_a_storm_of_kills_leaves_nothing_and_runs_nothing_twice(spark_root: Path, tmp_path: Path) -> None:
    end = time.monotonic() + 60 * float(os.environ.get("SOAK_MINUTES", "3"))
    storm = Storm(spark_root, tmp_path)
    try:
        while time.monotonic() < end:
            storm.blow()
    finally:
        storm.calm()
        print(dict(storm.done), flush=True)
    assert storm.done["jobs succeeded"]
    assert storm.done["processes killed"]
