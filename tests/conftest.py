"""What every test finds: no proxy on the way to loopback, and no Airflow or MLflow settings of whoever runs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.servers.azurite import BlobServer
from tests.servers.azurite import azurite as run_azurite
from tests.servers.seaweedfs import S3Server
from tests.servers.seaweedfs import seaweedfs as run_seaweedfs

# The longest first, so that nothing long is left for one process at the end.
_ORDER = ("e2e", "test_wheel.py", "test_local_cluster.py", "contract", "airflow")

for _name in [name for name in os.environ if name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_", "MLFLOW_"))]:
    del os.environ[_name]
# Without it every process that tests start compiles all of Airflow anew: three seconds and more each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ["NO_PROXY"] = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1,localhost")))
os.environ["no_proxy"] = os.environ["NO_PROXY"]


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
    """The folder of the local backend's clusters; the class-data archive in it is made once for all of pytest's processes."""
    root = tmp_path_factory.getbasetemp() / "spark"
    root.mkdir(mode=0o700, exist_ok=True)
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = tmp_path_factory.getbasetemp().parent / "spark-cache"
        shared.mkdir(mode=0o700, exist_ok=True)
        (root / "cache").symlink_to(shared)
    return root


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
