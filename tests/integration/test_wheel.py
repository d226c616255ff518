"""The wheel in clean environments, on the oldest and the newest Airflow: what a user gets from ``pip install``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AIRFLOWS = ("3.1", "3.3")
BUNDLE = "airflow_ml_provider.bundles.ready_made.ReadyMadeDagBundle"
TESTED = {"3.1": (), "3.3": ("test_jobs.py", "test_once.py", "test_provider_info.py")}
"""Files of tests/airflow: all on 3.1; on the version that every other test runs on, those that show that the wheel is whole."""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it.

    :param home: its AIRFLOW_HOME.
    """

    python: Path
    home: Path

    def airflow(self, *command: str) -> str:
        """What an ``airflow`` command prints, with the bundle as the only source of DAGs."""
        bundles = json.dumps([{"name": "ready_made", "classpath": BUNDLE, "kwargs": {}}])
        settings = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles,
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(self.home / "bundles"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        }
        return self.run("airflow", *command, cwd=self.home, **settings)

    def run(self, *command: str, cwd: Path, **settings: str) -> str:
        """What ``python -m command`` prints, run away from the repository."""
        kept = ("HOME", "LANG", "JAVA_HOME", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "TMPDIR")
        env = {name: os.environ[name] for name in kept if name in os.environ}
        env |= {"PATH": os.pathsep.join((str(self.python.parent), os.environ["PATH"])), **settings}
        call = [str(self.python), "-m", *command]
        done = subprocess.run(call, env=env, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
        assert not done.returncode, f"{' '.join(call)}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Installed]:
    """The environments, made side by side."""
    root = tmp_path_factory.mktemp("installed")
    with ThreadPoolExecutor(len(AIRFLOWS)) as pool:
        return dict(zip(AIRFLOWS, pool.map(lambda airflow: _install(wheel, root / airflow, airflow), AIRFLOWS), strict=True))


def _install(wheel: Path, folder: Path, airflow: str) -> Installed:
    uv = shutil.which("uv", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    assert uv, "uv is in the dependency group dev"
    python = folder / "venv" / "bin" / "python"
    constraints = ROOT / "constraints" / f"airflow-{airflow}.txt"
    wanted = [f"{wheel}[all]", "apache-airflow", "pytest", "-c", str(constraints)]
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")],
        [uv, "pip", "install", "--quiet", "--link-mode", "hardlink", "--python", str(python), *wanted],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
    home = folder / "home"
    home.mkdir()
    return Installed(python, home)


@pytest.fixture(params=AIRFLOWS)
def there(request: pytest.FixtureRequest, installed: dict[str, Installed]) -> Installed:
    """One of the environments."""
    return installed[request.param]


def test_the_wheel_holds_the_package_and_the_dags_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    content = "airflow_ml_provider/bundles/content"
    assert f"{content}/dags/flight_delays.py" in names
    assert f"{content}/include/jobs/train.py" in names
    assert "airflow_ml_provider/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"airflow_ml_provider"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".orig"))]


def test_airflow_lists_the_provider(there: Installed) -> None:
    listed = json.loads(_json(there.airflow("providers", "list", "--output", "json")))
    assert "airflow-ml-provider" in {item["package_name"] for item in listed}
    details = there.airflow("providers", "get", "airflow-ml-provider", "--full", "--output", "json")
    for name in ("spark_cluster", "mlflow", "spark_job", "SparkUILink"):
        assert name in details


def test_the_bundles_dags_parse(there: Installed) -> None:
    there.airflow("db", "migrate")
    there.airflow("dags", "reserialize")
    assert _json(there.airflow("dags", "list-import-errors", "--output", "json")) == "[]"
    listed = json.loads(_json(there.airflow("dags", "list", "--output", "json")))
    assert [(item["dag_id"], item["bundle_name"]) for item in listed] == [("flight_delays", "ready_made")]


@pytest.mark.parametrize("airflow", AIRFLOWS)
def test_the_memory_backends_tests_pass(installed: dict[str, Installed], airflow: str, tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    shutil.copytree(ROOT / "tests" / "airflow", tests)
    files = [str(tests / name) for name in TESTED[airflow]] or [str(tests)]
    installed[airflow].run("pytest", "-q", "-x", "-p", "no:cacheprovider", *files, cwd=tmp_path)


def _json(text: str) -> str:
    """What a command printed, without the lines before its answer."""
    found = re.search(r"^\[.*\]\s*$", text, re.MULTILINE | re.DOTALL)
    if found:
        return found[0].strip()
    assert "No data found" in text, text
    return "[]"
