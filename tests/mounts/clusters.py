"""A local cluster with mounts, for tests and benchmarks below Airflow."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.core.mounts import Credentials, Mount, open_mount, with_mounts
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Node, PythonCode
from airflow_ml_provider.core.state import ClusterState, JobState, JobStatus


def credentials(connection: Mapping[str, Any], conn_id: str = "store") -> Credentials:
    """The fields of an Airflow connection, as the servers of the tests tell theirs."""
    return Credentials(conn_id=conn_id, **connection)


class MountedCluster:
    """One cluster with mounts.

    :param seconds: from the call to the cluster's being ready.
    """

    def __init__(self, root: Path, mounts: Mapping[Mount, Credentials | None], **fields: Any) -> None:
        self.backend = LocalBackend(root)
        spec = ClusterSpec(**{"driver": Node(cores=2, memory="1g"), "idle_timeout": 300, "mounts": tuple(mounts), **fields})
        mounted, secrets = with_mounts(spec, {mount: open_mount(mount, opens) for mount, opens in mounts.items()})
        self.plan = self.backend.plan_cluster(mounted)
        began = time.monotonic()
        self.id = self.backend.create(self.plan, token=uuid.uuid4().hex[:24], secrets=secrets)
        self.folder = root / "clusters" / self.id
        while (status := self.backend.describe([self.id])[self.id]).state is ClusterState.PENDING:
            time.sleep(0.05)
        self.seconds = time.monotonic() - began
        assert status.state is ClusterState.RUNNING, status.message
        self.ui_url = status.ui_url

    def start(self, source: str, *, api: Any = "connect", **fields: Any) -> str:
        """Submit a program; the job's id."""
        spec = JobSpec(name="mounts", program=PythonCode(source=source, api=api), **fields)
        return self.backend.submit(self.id, self.backend.plan_job(spec), token=uuid.uuid4().hex[:24])

    def look(self, job: str) -> JobStatus:
        """The job's status."""
        return self.backend.poll(self.id, [job])[job]

    def ended(self, job: str) -> JobStatus:
        """The job's status once it has ended."""
        while not (status := self.look(job)).state.ended:
            time.sleep(0.05)
        return status

    def run(self, source: str, *, api: Any = "connect", **fields: Any) -> Any:
        """What a program hands back; fails with its log when it fails."""
        job = self.start(source, api=api, **fields)
        status = self.ended(job)
        assert status.state is JobState.SUCCEEDED, f"{status.message}\n{self.log(job)[-4000:]}"
        return status.result

    def log(self, job: str) -> str:
        """What a program printed."""
        return "\n".join(self.backend.logs(self.id, job).lines)

    def end(self) -> None:
        """Take it down, and wait for that."""
        self.backend.terminate(self.id)
        deadline = time.monotonic() + 60
        while not self.backend.describe([self.id])[self.id].state.ended:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@contextmanager
def mounted_cluster(root: Path, mounts: Mapping[Mount, Credentials | None], **fields: Any) -> Iterator[MountedCluster]:
    """A cluster that is taken down at the end."""
    cluster = MountedCluster(root, mounts, **fields)
    try:
        yield cluster
    finally:
        cluster.end()
