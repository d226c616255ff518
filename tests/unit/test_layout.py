"""Rules of the source tree that no linter knows."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = ("airflow_ml_provider", "airflow_ml_provider.adf")
HEAVY = ("boto3", "botocore", "mlflow", "pandas", "psutil", "pyspark")
# What a notebook's runner uses where the driver has it: a run to keep the notebook with, and kernels.
MAY_BE_MISSING = {"jupyter_client", "mlflow", "nbclient", "nbformat"}
AT_PARSING = (
    "adf.airflow.dag_file",
    "cluster",
    "operators.spark_cluster",
    "operators.spark_job",
    "operators.mlflow",
    "sensors.spark",
    "decorators.spark_job",
)


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "" if node.level else node.module or ""


def imported_at_once(path: Path) -> Iterator[str]:
    """The modules that a file imports as soon as it is imported."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


@pytest.mark.parametrize("path", sorted((ROOT / "dags").rglob("*.py")), ids=lambda path: path.name)
def test_dags_use_what_users_use(path: Path) -> None:
    ours = [name for name in imported(path) if name.startswith("airflow_ml_provider")]
    assert ours
    assert not [name for name in ours if name not in PUBLIC]


@pytest.mark.parametrize("path", sorted((ROOT / "include").rglob("*.py")), ids=lambda path: path.name)
def test_jobs_run_without_airflow_and_without_us(path: Path) -> None:
    assert not [name for name in imported(path) if name.split(".")[0] in ("airflow", "airflow_ml_provider")]


@pytest.mark.parametrize("path", sorted((ROOT / "airflow_ml_provider" / "runners").rglob("*.py")), ids=lambda path: path.name)
def test_runners_need_the_standard_library_and_spark(path: Path) -> None:
    late = MAY_BE_MISSING if path.parent.name == "notebook" else set()
    needs = {"IPython", "traitlets"} if path.name == "shell.py" else set()  # it is imported only where they are
    assert {name.split(".")[0] for name in imported(path) if name} <= {
        *sys.stdlib_module_names,
        "py4j",
        "pyspark",
        *late,
        *needs,
    }  # Spark brings py4j
    assert not {name.split(".")[0] for name in imported_at_once(path)} & late


OLD_PYTHON = [
    *sorted((ROOT / "airflow_ml_provider" / "runners").glob("*.py")),
    ROOT / "airflow_ml_provider" / "runners" / "notebook" / "sql_statements.py",  # ships beside run_sql.py
]


@pytest.mark.parametrize("path", OLD_PYTHON, ids=lambda path: path.name)
def test_runners_but_the_notebooks_run_on_python_3_9(path: Path) -> None:
    """EMR has it before 7.13.0."""
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    later = [
        node.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg in ("group", "kw_only", "slots", "strict")
    ]
    assert not later


def test_parsing_a_dag_imports_nothing_heavy() -> None:
    program = "\n".join(
        [
            "import sys, airflow.sdk",
            "before = set(sys.modules)",
            *(f"import airflow_ml_provider.{name}" for name in AT_PARSING),
            "print(sorted({name.split('.')[0] for name in set(sys.modules) - before}))",
        ]
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    assert not set(ast.literal_eval(done.stdout.splitlines()[-1])) & set(HEAVY)


def test_constraints_name_versions_and_no_places() -> None:
    for path in sorted((ROOT / "constraints").glob("*.txt")):
        lines = path.read_text().splitlines()
        assert len(lines) > 100
        assert not [line for line in lines if not re.fullmatch(r"[a-z0-9.-]+==[^ /:]+( ; .*)?", line)]


def test_the_compose_file_starts_every_component_and_ships_no_secret() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    airflow = {"api-server", "dag-processor", "init", "scheduler", "triggerer"}
    assert set(services) == {*airflow, "blob", "mlflow", "postgres", "s3", "secrets"}
    for name in {*services} - {"init", "secrets"}:
        assert services[name]["healthcheck"]["test"], name
    environment = services["scheduler"]["environment"]
    assert json.loads(environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__API_AUTH__JWT_SECRET"):
        assert name not in environment
        assert environment[f"{name}_CMD"].startswith("cat /secrets/")
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_compose_files_secrets_are_made_once_for_their_owner(tmp_path: Path) -> None:
    make = [sys.executable, str(ROOT / "docker" / "make_secrets.py"), str(tmp_path)]
    subprocess.run(make, check=True)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    subprocess.run(make, check=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert {"spark_cluster_default", "mlflow_default", "aws_default", "wasb_default", "flights"} <= json.loads(
        first["connections.json"]
    ).keys()


def test_files_are_small() -> None:
    files = [path for folder in ("airflow_ml_provider", "dags", "include", "scripts") for path in (ROOT / folder).rglob("*.py")]
    assert not {path.name: lines for path in files if (lines := len(path.read_text().splitlines())) > 400}
