"""EMR's bootstrap action, run here with stand-ins for the programs of EMR's machines."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from airflow_ml_provider.backends.aws import libraries
from airflow_ml_provider.backends.emr import translate
from airflow_ml_provider.core.lowering import RUNNERS
from airflow_ml_provider.core.spec import ClusterSpec, PyPI, Requirements, Wheel

PROGRAMS = {
    "sudo": 'exec "$@"\n',
    "python3.11": 'case "$*" in *--version) ;; *) for word; do printf "%s|" "$word"; done; echo ;; esac\n',
    "aws": 'printf "%s|" "$@"; echo\n',
}


@pytest.fixture
def bootstrapped(tmp_path: Path):
    """Runs the script, and returns the command lines of pip without their common beginning."""
    for name, script in PROGRAMS.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/bash\n{script}")
        path.chmod(0o755)

    def run(*arguments: str) -> list[list[str]]:
        command = ["bash", str(RUNNERS / "bootstrap_emr.sh"), "--python", "3.11", *arguments]
        env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
        lines = [line.strip("|").split("|") for line in done.stdout.splitlines()]
        return [line[line.index("install") + 1 :] for line in lines if line[:2] == ["-m", "pip"]]

    return run


def options(line: list[str]) -> list[str]:
    return [word for word in line if word not in ("--quiet", "--no-input")]


def test_an_index_is_the_only_one_for_its_packages(bootstrapped) -> None:
    """pip's --extra-index-url takes whichever index has the higher version: anybody's on PyPI (pip's own documentation of it)."""
    asked = [
        PyPI("corp-utils", index_url="https://pypi.corp/simple"),
        PyPI("holidays==0.60"),
        PyPI("corp-models", index_url="https://pypi.corp/simple"),
        PyPI("other", index_url="https://pypi.other/simple"),
    ]
    assert [options(line) for line in bootstrapped(*libraries.arguments(asked))] == [
        ["holidays==0.60"],
        ["--index-url", "https://pypi.corp/simple", "corp-utils", "corp-models"],
        ["--index-url", "https://pypi.other/simple", "other"],
    ]


def test_wheels_and_requirements_come_from_the_staging_area(bootstrapped) -> None:
    line = bootstrapped("--wheel", "s3://b/x/etl-1.0-py3-none-any.whl", "--requirements", "s3://b/x/requirements.txt")[0]
    wheel, flag, file = options(line)
    assert (Path(wheel).name, flag, Path(file).name) == ("etl-1.0-py3-none-any.whl", "-r", "requirements.txt")


def test_nothing_is_installed_without_libraries(bootstrapped) -> None:
    assert bootstrapped() == []


def test_the_script_knows_every_option_of_a_plan(bootstrapped) -> None:
    spec = ClusterSpec(
        libraries=(Wheel("/dist/a-1.0-py3-none-any.whl"), Requirements("/r.txt"), PyPI("b", index_url="https://c/simple")),
        max_lifetime=None,
    )
    (action,) = translate.plan_cluster(spec)["BootstrapActions"]
    given = action["ScriptBootstrapAction"]["Args"]
    assert given[:2] == ["--python", "3.11"]
    assert len(bootstrapped(*map(str, given[2:]))) == 2


def test_no_command_line_of_the_package_adds_an_index() -> None:
    package = RUNNERS.parent
    files = [path for kind in ("*.py", "*.sh") for path in package.rglob(kind)]
    assert [path.name for path in files if "--extra-index-url" in path.read_text(encoding="utf-8")] == []
