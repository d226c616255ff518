"""What stands in the folder of a stack before it starts: the configuration and the two databases."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from configparser import RawConfigParser
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
USER = "admin"
BUNDLE = "airflow_ml_provider.bundles.ready_made.ReadyMadeDagBundle"
LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
_MIGRATE = "from airflow.utils.db import initdb; initdb()"
_MLFLOW_MIGRATE = "from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as S; S({uri!r}, {folder!r})"


def write_config(home: Path, url: str, dags: Path | None, settings: Mapping[str, str]) -> str:
    """Write ``airflow.cfg``, readable by its owner alone, with keys of its own; the password of the one user.

    :param url: where the web server will be.
    :param dags: a folder of DAG files to serve beside the ready-made ones.
    :param settings: ``section.key`` to value, laid over the rest.
    """
    password = _password(home)
    sections = _sections(home, url, _bundles(dags))
    for name, value in settings.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    config = RawConfigParser()
    config.read_dict(sections)
    with _private(home / "airflow.cfg") as file:
        config.write(file)
    return password


def _password(home: Path) -> str:
    path = home / "passwords.json"
    if not path.exists():
        with _private(path) as file:
            json.dump({USER: secrets.token_urlsafe(12)}, file)
    return str(json.loads(path.read_text())[USER])


def _private(path: Path) -> Any:
    return open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600))


def _bundles(dags: Path | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": "ready_made", "classpath": BUNDLE, "kwargs": {}}]
    if dags:
        found.append({"name": "dags", "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(dags), "refresh_interval": 2}})
    return found


def _sections(home: Path, url: str, bundles: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    key = home / "fernet.key"
    if not key.exists():
        with _private(key) as file:
            file.write(base64.urlsafe_b64encode(os.urandom(32)).decode())
    return {
        "core": {
            "auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": str(home / "passwords.json"),
            "dags_folder": str(home / "dags"),
            "dags_are_paused_at_creation": "False",
            "execution_api_server_url": f"{url}/execution/",
            "executor": "LocalExecutor",
            "fernet_key": key.read_text(),
            "load_examples": "False",
            "parallelism": "8",
            "test_connection": "Enabled",
        },
        "database": {
            "load_default_connections": "False",
            "sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}?timeout=60",
        },
        "api": {"base_url": url, "secret_key": secrets.token_hex(16), "workers": "1", "expose_config": "False"},
        "api_auth": {"jwt_secret": secrets.token_hex(32)},
        "dag_processor": {
            "dag_bundle_config_list": json.dumps(bundles).replace("%", "%%"),
            "dag_bundle_storage_path": str(home / "bundles"),
            "bundle_refresh_check_interval": "1",
            "parsing_processes": "1",
        },
        "scheduler": {"scheduler_idle_sleep_time": "0.2", "enable_health_check": "False"},
        "logging": {"base_log_folder": str(home / "logs")},
        "usage_data_collection": {"enabled": "False"},
    }


def lay_databases(home: Path, env: Mapping[str, str], *, mlflow: bool) -> None:
    """Put both databases into a new home: copies of a template, which is made once for each set of versions."""
    names = ["airflow.db", "mlflow.db"] if mlflow else ["airflow.db"]
    for name in names:
        if not (home / name).exists():
            shutil.copy(_template(name, env), home / name)
            (home / name).chmod(0o600)


def _template(name: str, env: Mapping[str, str]) -> Path:
    versions = f"airflow-{version('apache-airflow')}" if name == "airflow.db" else f"mlflow-{version('mlflow')}"
    folder = ROOT / ".cache" / "databases"
    folder.mkdir(parents=True, exist_ok=True)
    found = folder / f"{versions}.db"
    with (folder / f"{versions}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            with tempfile.TemporaryDirectory(dir=folder) as fresh:
                _migrate(Path(fresh, name), env)
                os.replace(Path(fresh, name), found)
    return found


def _migrate(path: Path, env: Mapping[str, str]) -> None:
    url = f"sqlite:///{path}"
    program = _MIGRATE if path.name == "airflow.db" else _MLFLOW_MIGRATE.format(uri=url, folder=str(path.parent))
    changed = {**env, "AIRFLOW_HOME": str(path.parent), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}
    done = subprocess.run([sys.executable, "-c", program], env=changed, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{path.name} could not be made:\n{done.stderr[-4000:]}")
    # Readers and one writer side by side; the mode stays with the file.
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
