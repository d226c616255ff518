"""Libraries, installed once per distinct set into the root's cache: a layer over the Python that runs Spark, and jars.

A set's folder is named after its content: :mod:`airflow_ml_provider.core.caches` keeps it, and removes it when nobody needs it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_ml_provider.core import caches, tools
from airflow_ml_provider.core.libraries import contents

OfPlan = Mapping[str, Any]
"""A library as a plan has it."""
_OF_PYTHON = ("pypi", "wheel", "requirements")
_SITE = "import site; print('\\n'.join(site.getsitepackages()))"
_CENTRAL = "DEFAULT_ARTIFACT_REPOSITORY"
"""Spark's own variable for another repository in the place of Maven Central."""
_WHAT = "libraries: they could not be installed"


def python_with(cache: Path, python: str, libraries: Sequence[OfPlan]) -> str:
    """The interpreter that has the Python packages among the libraries over those of ``python``; itself when there are none.

    This process holds the environment from now on.

    :raises ConfigurationError: one cannot be installed; the message holds pip's last lines.
    :raises Unavailable: the index cannot be reached.
    """
    asked = [item for item in libraries if item["kind"] in _OF_PYTHON]
    if not asked:
        return python
    key = _key(python, [contents(item) for item in asked])
    return str(caches.entry(cache / "python" / key, lambda folder: _install(folder, python, asked)) / "bin" / "python")


def jars_of(cache: Path, java: Path, spark_home: Path, libraries: Sequence[OfPlan]) -> list[str]:
    """The jars among the libraries, those from Maven with what they depend on.

    :raises ConfigurationError: coordinates cannot be resolved; the message holds Ivy's last lines.
    :raises Unavailable: a repository cannot be reached.
    """
    own = [str(item["path"]) for item in libraries if item["kind"] == "jar"]
    asked = [item for item in libraries if item["kind"] == "maven"]
    if not asked:
        return own
    key = _key(str(spark_home), asked)
    folder = caches.entry(cache / "maven" / key, lambda folder: _resolve(folder, java, spark_home, asked))
    return [*own, *map(str, sorted((folder / "jars").glob("*.jar")))]


def joined(*lists: str) -> str:
    """Comma-separated lists as one."""
    return ",".join(filter(None, lists))


def _install(folder: Path, python: str, libraries: Sequence[OfPlan]) -> None:
    """A virtual environment that falls back on the packages of ``python``, so that only what it lacks is installed."""
    env = tools.clean_environment(os.environ)
    tools.install(_WHAT, [python, "-m", "venv", "--without-pip", folder], env=env)
    below = tools.install(_WHAT, [python, "-c", _SITE], env=env).splitlines()
    site = next((folder / "lib").glob("python*")) / "site-packages"
    lines = [f"import site; site.addsitedir({path!r})" for path in below]
    (site / "below.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for index, items in _by_index(libraries).items():
        arguments = [argument for item in items for argument in _pip_arguments(item)]
        options = ["--index-url", index] if index else []
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        env = tools.clean_environment(os.environ, other_indexes=index is None)
        tools.install(_WHAT, [*pip, *options, *arguments], env=env)


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
    env = {
        **tools.clean_environment(os.environ, also=(_CENTRAL,)),
        "SPARK_HOME": str(spark_home),
        "PYSPARK_PYTHON": sys.executable,
    }
    tools.install(_WHAT, command, env=env)
    shutil.rmtree(folder / "cache", ignore_errors=True)


def _key(base: str, libraries: Sequence[OfPlan]) -> str:
    text = json.dumps([base, sorted(libraries, key=json.dumps)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
