"""Libraries, installed once per distinct set into the root's cache: a layer over the Python that runs Spark, and jars.

A set's folder is named after its content. Whoever comes first makes it while the others wait; half a folder is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_ml_provider.backends.local.layout import alone, make_folder
from airflow_ml_provider.core.errors import ConfigurationError

OfPlan = Mapping[str, Any]
"""A library as a plan has it."""
_OF_PYTHON = ("pypi", "wheel", "requirements")
_OF_JOBS = ("SPARK_", "PYSPARK_", "AIRFLOW_ML_", "MLFLOW_")
_SITE = "import site; print('\\n'.join(site.getsitepackages()))"
_LAST_LINES = 12


def python_with(cache: Path, python: str, libraries: Sequence[OfPlan]) -> str:
    """The interpreter that has the Python packages among the libraries over those of ``python``; itself when there are none.

    :raises ConfigurationError: one cannot be installed; the message holds pip's last lines.
    """
    asked = [item for item in libraries if item["kind"] in _OF_PYTHON]
    if not asked:
        return python
    key = _key(python, [_content(item) for item in asked])
    return str(_made(cache / "python" / key, lambda folder: _install(folder, python, asked)) / "bin" / "python")


def jars_of(cache: Path, java: Path, spark_home: Path, libraries: Sequence[OfPlan]) -> list[str]:
    """The jars among the libraries, those from Maven with what they depend on.

    :raises ConfigurationError: coordinates cannot be resolved; the message holds Ivy's last lines.
    """
    own = [str(item["path"]) for item in libraries if item["kind"] == "jar"]
    asked = [item for item in libraries if item["kind"] == "maven"]
    if not asked:
        return own
    key = _key(str(spark_home), asked)
    folder = _made(cache / "maven" / key, lambda folder: _resolve(folder, java, spark_home, asked))
    return [*own, *map(str, sorted((folder / "jars").glob("*.jar")))]


def joined(*lists: str) -> str:
    """Comma-separated lists as one."""
    return ",".join(filter(None, lists))


def _install(folder: Path, python: str, libraries: Sequence[OfPlan]) -> None:
    """A virtual environment that falls back on the packages of ``python``, so that only what it lacks is installed."""
    _run([python, "-m", "venv", "--without-pip", str(folder)])
    below = _run([python, "-c", _SITE]).splitlines()
    site = next((folder / "lib").glob("python*")) / "site-packages"
    lines = [f"import site; site.addsitedir({path!r})" for path in below]
    (site / "below.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for index, items in _by_index(libraries).items():
        arguments = [argument for item in items for argument in _pip_arguments(item)]
        options = ["--index-url", index] if index else []
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        _run([*pip, *options, *arguments])


def _by_index(libraries: Sequence[OfPlan]) -> dict[str | None, list[OfPlan]]:
    found: dict[str | None, list[OfPlan]] = {}
    for item in libraries:
        found.setdefault(item.get("index_url"), []).append(item)
    return found


def _pip_arguments(item: OfPlan) -> list[str]:
    if item["kind"] == "requirements":
        return ["--requirement", item["path"]]
    return [item["path"] if item["kind"] == "wheel" else item["requirement"]]


def _resolve(folder: Path, java: Path, spark_home: Path, libraries: Sequence[OfPlan]) -> None:
    """Have Spark resolve the coordinates as ``--packages`` does; the jars stay, Ivy's own notes go."""
    program = folder / "nothing.py"
    program.touch()
    repositories = joined(*(item["repository"] or "" for item in libraries))
    exclusions = joined(*(name for item in libraries for name in item["exclusions"]))
    command = [
        *(str(java), "-cp", f"{spark_home / 'jars'}/*", "-Xmx512m", "-XX:TieredStopAtLevel=1"),
        *("org.apache.spark.deploy.SparkSubmit", "--conf", f"spark.jars.ivy={folder}"),
        *("--packages", joined(*(item["coordinates"] for item in libraries))),
        *(("--repositories", repositories) if repositories else ()),
        *(("--exclude-packages", exclusions) if exclusions else ()),
        str(program),
    ]
    _run(command, {"SPARK_HOME": str(spark_home), "PYSPARK_PYTHON": sys.executable})
    shutil.rmtree(folder / "cache", ignore_errors=True)


def _made(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder, made first if need be, by one process at a time."""
    whole = folder / ".whole"
    if whole.exists():
        return folder
    with alone(folder.parent / f"{folder.name}.lock"):
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make_folder(folder)
            make(folder)
            whole.touch()
    return folder


def _run(command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(_OF_JOBS)}
    env = {**inherited, **(env or {})}
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
        raise ConfigurationError(f"libraries: they could not be installed:\n{last}")
    return done.stdout


def _content(item: OfPlan) -> OfPlan:
    """A library with its file's content in the place of where it lies."""
    if "path" not in item:
        return item
    path = Path(item["path"])
    return {**item, "path": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _key(base: str, libraries: Sequence[OfPlan]) -> str:
    text = json.dumps([base, sorted(libraries, key=json.dumps)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
