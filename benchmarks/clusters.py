"""Clusters of the local backend, and small jobs on them, timed."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.backends.local.commands import driver_memory
from airflow_ml_provider.backends.local.java import find_jdk, with_shim
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonFile
from airflow_ml_provider.core.state import ClusterState, JobState

COUNT = Path(__file__).parent / "programs" / "count.py"
_LOOK_EVERY = 0.01
_LIMIT = 300.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that runs.

    :param asked: when it was asked for, as :func:`time.perf_counter` tells it.
    """

    backend: LocalBackend
    id: str
    asked: float

    def run(self, program: Path) -> float:
        """The seconds from handing a program over until it is seen to have ended; an error when it failed."""
        begun = time.perf_counter()
        plan = self.backend.plan_job(JobSpec(name=program.stem, program=PythonFile(path=str(program))))
        job = self.backend.submit(self.id, plan, token=uuid.uuid4().hex)
        status = _until(lambda: self.backend.poll(self.id, [job])[job], lambda status: status.state.ended)
        seconds = time.perf_counter() - begun
        if status.state is not JobState.SUCCEEDED:
            raise RuntimeError(f"{program.name}: {status}")
        return seconds


@contextmanager
def cluster(root: Path) -> Iterator[Cluster]:
    """A cluster as a user gets it who sets nothing; it has ended when this is left."""
    backend = LocalBackend(root)
    asked = time.perf_counter()
    id_ = backend.create(backend.plan_cluster(ClusterSpec()), token=uuid.uuid4().hex)
    try:
        status = _until(
            lambda: backend.describe([id_])[id_], lambda status: status.state is ClusterState.RUNNING or _ended(status)
        )
        if _ended(status):
            raise RuntimeError(f"the cluster did not start: {status}")
        yield Cluster(backend, id_, asked)
    finally:
        backend.terminate(id_)
        _until(lambda: backend.describe([id_])[id_], _ended)


def make_archive(root: Path) -> None:
    """A throw-away cluster that leaves the class-data archive for all later ones: once a machine, so no benchmark counts it."""
    with cluster(root) as first:
        first.run(COUNT)
    if not list(root.glob("cache/*.jsa")):
        raise RuntimeError(f"no class-data archive was made in {root}")


def java_home(root: Path) -> Mapping[str, str]:
    """The environment that has ``spark-submit`` use the JDK that the clusters use."""
    cache = root / "cache"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {"JAVA_HOME": str(with_shim(find_jdk(dict(os.environ)), cache).home)}


def heap(root: Path) -> str:
    """The driver's heap of a cluster of a user who sets nothing."""
    mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20)
    return driver_memory(LocalBackend(root).plan_cluster(ClusterSpec()), mib)


def _ended(status: Any) -> bool:
    return status.state in (ClusterState.TERMINATED, ClusterState.FAILED)


def _until(look: Callable[[], Any], done: Callable[[Any], bool]) -> Any:
    end = time.monotonic() + _LIMIT
    while not done(status := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"after {_LIMIT:.0f} s still {status}")
        time.sleep(_LOOK_EVERY)
    return status
