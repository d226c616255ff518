"""The wheel in clean environments, on the oldest and the newest Airflow: what a user gets from ``pip install``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
AIRFLOWS = ("3.1", pytest.param("3.3", marks=pytest.mark.soak))
"""``make test`` leaves the newest to ``make soak``: every other test of it runs on that one."""
BUNDLE = "airflow_ml_provider.bundles.ready_made.ReadyMadeDagBundle"
SHORT = ("test_jobs.py", "test_provider_info.py")
TESTED = {
    # The form first: what else asks for hooks makes Airflow 3.1 look for the form's library, which it then does without.
    "3.1": ("test_hook.py", *SHORT, "test_decorator.py", "test_bundle.py", "test_mounts.py"),
    "3.3": SHORT[:1],
}
"""Files of tests/airflow that need no extra; on the version that every other test runs on, those that show that the wheel is whole."""
COMMANDS = (
    ("providers", "list", "--output", "json"),
    ("providers", "get", "airflow-ml-provider", "--full", "--output", "json"),
    ("db", "migrate"),
    ("dags", "reserialize"),
    ("dags", "list-import-errors", "--output", "json"),
    ("dags", "list", "--output", "json"),
)
ONE_BY_ONE = """
import json, sys
from airflow.__main__ import main
for number, command in enumerate(json.loads(sys.argv[1])):
    print(f"\\n== {number}", flush=True)
    sys.argv = ["airflow", *command]
    main()
"""
"""Airflow's command line in one process: each process of its own would import Airflow anew."""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it.

    :param version: of Airflow, its first two numbers.
    :param home: its AIRFLOW_HOME.
    """

    version: str
    python: Path
    home: Path

    def airflow(self, *commands: Sequence[str]) -> list[str]:
        """What each ``airflow`` command prints, with the bundle as the only source of DAGs."""
        bundles = json.dumps([{"name": "ready_made", "classpath": BUNDLE, "kwargs": {}}])
        settings = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles,
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(self.home / "bundles"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        }
        printed = self.run("-c", ONE_BY_ONE, json.dumps(commands), cwd=self.home, **settings)
        return re.split(r"^== \d+$", printed, flags=re.MULTILINE)[1:]

    def run(self, *args: str, cwd: Path, **settings: str) -> str:
        """What ``python args`` prints, run away from the repository."""
        kept = ("HOME", "LANG", "JAVA_HOME", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "TMPDIR")
        env = {name: os.environ[name] for name in kept if name in os.environ}
        env |= {"PATH": os.pathsep.join((str(self.python.parent), os.environ["PATH"])), **settings}
        return _printed([str(self.python), *args], env=env, cwd=cwd)

    def test(self, *args: str, folder: Path, whole: bool = False) -> None:
        """Run tests, copied into a new folder: what they import of the package comes from the wheel.

        :param whole: all that tests lean on is there, the fixtures too that ask for the development tools.
        """
        few = ("tests/airflow", "tests/fakes", "tests/servers", "dags", "include")
        for name in ("tests", "dags", "include", "docs", "scripts") if whole else few:
            shutil.copytree(ROOT / name, folder / name)
        for name in ("README.md",) if whole else ("tests/processes.py", "tests/seed.py"):
            shutil.copy(ROOT / name, folder / name)
        self.run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *(f"tests/airflow/{arg}" for arg in args), cwd=folder)

    def install(self, *wanted: str) -> None:
        """Install what the constraints of its Airflow allow."""
        _printed([_uv(), "pip", "install", "--quiet", "--link-mode", "hardlink", *self._where, *wanted])

    def would_install(self, *wanted: str) -> None:
        """Resolve the same and install nothing."""
        _printed([_uv(), "pip", "install", "--quiet", "--dry-run", *self._where, *wanted])

    @property
    def _where(self) -> tuple[str, ...]:
        constraints = ROOT / "constraints" / f"airflow-{self.version}.txt"
        return "--python", str(self.python), "-c", str(constraints)


def _printed(command: Sequence[str], **kwargs: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, **kwargs)
    assert not done.returncode, f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


def _uv() -> str:
    found = shutil.which("uv", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    assert found, "uv is in the dependency group dev"
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    _printed([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)])
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module", params=AIRFLOWS)
def there(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A new environment with Airflow and the wheel, without any extra."""
    folder = tmp_path_factory.mktemp("installed")
    _printed([_uv(), "venv", "--quiet", "--python", sys.executable, str(folder / "venv")])
    (folder / "home").mkdir()
    made = Installed(request.param, folder / "venv" / "bin" / "python", folder / "home")
    made.install(str(wheel), "apache-airflow", "pytest")
    return made


def test_the_wheel_holds_the_package_and_the_dags_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    content = "airflow_ml_provider/bundles/content"
    assert f"{content}/dags/flight_delays.py" in names
    assert {f"{content}/include/{name}" for name in ("jobs/train.py", "notebooks/explore_flights.ipynb")} <= set(names)
    assert "airflow_ml_provider/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"airflow_ml_provider"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".orig"))]


def test_airflow_lists_the_provider_and_parses_the_bundles_dags(there: Installed) -> None:
    providers, details, _, _, errors, dags = there.airflow(*COMMANDS)
    assert "airflow-ml-provider" in {item["package_name"] for item in json.loads(_json(providers))}
    for name in ("spark_cluster", "mlflow", "spark_job", "SparkUILink"):
        assert name in details
    assert _json(errors) == "[]"
    served = {item["dag_id"] for item in json.loads(_json(dags)) if item["bundle_name"] == "ready_made"}
    assert served >= {"flight_delays", "flight_notebooks", "flight_streams", "spark_janitor"}


@pytest.mark.soak
def test_every_extra_can_be_installed(there: Installed, wheel: Path) -> None:
    there.would_install(f"{wheel}[all,jdk]")


def test_the_memory_backends_tests_pass(there: Installed, tmp_path: Path) -> None:
    there.test(*TESTED[there.version], folder=tmp_path)


@pytest.mark.soak
def test_all_the_memory_backends_tests_pass_with_every_extra(there: Installed, wheel: Path, tmp_path: Path) -> None:
    there.install(f"{wheel}[all]", "--group", f"{ROOT / 'pyproject.toml'}:dev")
    there.test("", folder=tmp_path, whole=True)


def _json(text: str) -> str:
    """What a command printed, without the lines before its answer."""
    found = re.search(r"^\[.*\]\s*$", text, re.MULTILINE | re.DOTALL)
    if found:
        return found[0].strip()
    assert "No data found" in text, text
    return "[]"
