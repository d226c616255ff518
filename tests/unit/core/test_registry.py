"""Where backends come from: this package's table, and entry points of other packages."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_ml_provider.core import registry
from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.core.registry import BACKENDS, backend_class, backend_entry, backend_names, load
from airflow_ml_provider.get_provider_info import conn_fields
from airflow_ml_provider.hooks.connection import ClusterConnection, parse_connection

ENTRY = """\
from airflow_ml_provider.core.registry import Entry

ENTRY = Entry(path="{module}:Backend", sign_in="{module}:sign_in", label="Far", staging="far://place", install="far-sdk", poll_interval=3.0)
"""
Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution with one module, whose entry point is a backend."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(package: str, backend: str, text: str) -> None:
        module = package.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(text)
        about = tmp_path / f"{module}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{backend} = {module}:ENTRY\n")
        monkeypatch.delitem(sys.modules, module, raising=False)
        registry._installed.cache_clear()

    yield add
    registry._installed.cache_clear()


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_is_there_and_is_called_what_it_says(name: str) -> None:
    assert backend_class(name).name == name
    assert callable(load(name, BACKENDS[name].sign_in))


def test_an_unknown_backend_gets_the_known_names() -> None:
    with pytest.raises(ConfigurationError, match="backend: expected one of emr, emr-serverless, local, memory, got 'emr2'"):
        backend_class("emr2")


def test_a_missing_library_gets_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    far = replace(BACKENDS["memory"], path="no_such_package.backend:Far", install="airflow-ml-provider[far]")
    monkeypatch.setitem(BACKENDS, "far", far)
    with pytest.raises(ConfigurationError, match=r'pip install "airflow-ml-provider\[far\]"'):
        backend_class("far")


def test_another_package_adds_a_backend(install: Install) -> None:
    install("far-spark", "far", ENTRY.format(module="far_spark_backend"))
    assert "far" in backend_names()
    assert backend_entry("far").poll_interval == 3.0
    assert parse_connection("c", '{"backend": "far"}') == ClusterConnection("c", "far")
    assert "far" in conn_fields("spark_cluster")["backend"]["schema"]["enum"]
    with pytest.raises(
        ConfigurationError, match=r"backend 'far' cannot be loaded .*far_spark_backend.*: pip install \"far-sdk\""
    ):
        backend_class("far")


def test_a_name_of_ours_stays_ours(install: Install) -> None:
    install("far-spark", "memory", "raise RuntimeError('never imported')")
    assert backend_entry("memory") is BACKENDS["memory"]
    assert backend_names().count("memory") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise RuntimeError('half an install')", "backend 'far' of far-spark cannot be loaded (RuntimeError: half an install)"),
        ("ENTRY = 'far.backend:Far'", "backend 'far' of far-spark: expected its entry point 'far_spark:ENTRY' to be a registry Entry, got str"),
        ("", "backend 'far' of far-spark cannot be loaded (AttributeError"),
    ],
)  # fmt: skip
def test_a_broken_package_is_named(install: Install, text: str, message: str) -> None:
    install("far-spark", "far", text)
    assert "far" in backend_names()
    with pytest.raises(ConfigurationError) as caught:
        backend_class("far")
    assert message in str(caught.value)
    with pytest.raises(ConfigurationError, match="connection 'c', extra field 'backend': "):
        parse_connection("c", '{"backend": "far"}')


def test_two_packages_with_one_backend_are_named(install: Install) -> None:
    install("far-spark", "far", ENTRY.format(module="far_spark"))
    install("near-spark", "far", ENTRY.format(module="near_spark"))
    with pytest.raises(ConfigurationError, match="backend 'far' comes from far-spark and near-spark: uninstall all but one"):
        backend_class("far")


def test_no_backend_knows_another() -> None:
    contracts = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    independent = next(contract["modules"] for contract in contracts if contract["type"] == "independence")
    modules = {entry.path.partition(":")[0].removesuffix(".backend") for entry in BACKENDS.values()}
    assert sorted(independent) == sorted(modules)
