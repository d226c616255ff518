"""What every test finds: no proxy on the way to loopback, and no Airflow or MLflow settings of whoever runs them."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from airflow_ml_provider.backends.local.archive import Archive
from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.backends.local.java import find_jdk, with_shim
from airflow_ml_provider.backends.local.layout import make_folder
from airflow_ml_provider.backends.local.supervisor import spark_home
from airflow_ml_provider.core.spec import ClusterSpec
from airflow_ml_provider.core.state import ClusterState
from tests.processes import eventually
from tests.seed import SEED
from tests.servers.azurite import BlobServer
from tests.servers.azurite import azurite as run_azurite
from tests.servers.seaweedfs import S3Server
from tests.servers.seaweedfs import seaweedfs as run_seaweedfs

ROOT = Path(__file__).resolve().parents[1]
# The longest first, so that nothing long is left for one process at the end.
_ORDER = ("e2e", "test_wheel.py", "test_local_cluster.py", "contract", "airflow")

for _name in [name for name in os.environ if name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_", "MLFLOW_"))]:
    del os.environ[_name]
# Without it every process that tests start compiles all of Airflow anew: three seconds and more each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# The JVMs of tests live for seconds: what the second compiler gains later, it costs now.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
os.environ["NO_PROXY"] = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1,localhost")))
os.environ["no_proxy"] = os.environ["NO_PROXY"]


def pytest_report_header(config: pytest.Config) -> str | None:
    return f"SOAK_SEED={SEED}" if config.getoption("markexpr") == "soak" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((place for place, part in enumerate(_ORDER) if part in item.path.parts), len(_ORDER)))


class _ByPlace(LoadScopeScheduling):
    """Tests that share servers or clusters stay in one process: all of tests/e2e, and each other file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/e2e" if file.startswith("tests/e2e/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _ByPlace(config, log)


@pytest.fixture(scope="session")
def spark_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the local backend's clusters, with a class-data archive that all runs on this machine share."""
    root = make_folder(tmp_path_factory.getbasetemp() / "spark")
    cache = make_folder(ROOT / ".cache" / "spark")
    (root / "cache").symlink_to(cache)
    with (cache / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not Archive(cache, with_shim(find_jdk(), cache), spark_home()).readable():
            _make_archive(LocalBackend(root))
    return root


def _make_archive(backend: LocalBackend) -> None:
    """A throw-away cluster, which leaves the archive as it ends."""
    made = backend.create(backend.plan_cluster(ClusterSpec(driver={"memory": "1g"})), token="archive")
    for state in (ClusterState.RUNNING, ClusterState.TERMINATED):
        eventually(lambda state=state: backend.describe([made])[made].state in (state, ClusterState.FAILED), within=240)
        backend.terminate(made)


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[S3Server]:
    """One S3 server for all tests of this process: take buckets of your own."""
    with run_seaweedfs() as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[BlobServer]:
    """One Blob server for all tests of this process: take containers of your own."""
    with run_azurite() as server:
        yield server
