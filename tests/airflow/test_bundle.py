"""The bundle that serves the ready-made DAGs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from airflow_ml_provider import __version__
from airflow_ml_provider.bundles import ready_made
from airflow_ml_provider.bundles.ready_made import ReadyMadeDagBundle
from airflow_ml_provider.core.errors import ConfigurationError

CLASSPATH = "airflow_ml_provider.bundles.ready_made.ReadyMadeDagBundle"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a repository with one DAG looks like, and storage of the test's own."""
    root = tmp_path / "source"
    (root / "dags").mkdir(parents=True)
    (root / "include" / "jobs").mkdir(parents=True)
    (root / "dags" / "one.py").write_text("from airflow.sdk import DAG\n\nDAG('one')\n")
    (root / "include" / "jobs" / "job.py").write_text("spark\n")
    monkeypatch.setattr(ready_made, "_PACKAGED", tmp_path / "nothing")
    monkeypatch.setattr(ready_made, "_REPOSITORY", root)
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "storage"))
    return root


def bundle(version: str | None = None) -> ReadyMadeDagBundle:
    found = ReadyMadeDagBundle(name="ready_made", version=version)
    found.initialize()
    return found


def version_of(found: ReadyMadeDagBundle) -> str:
    version = found.get_current_version()
    return str(getattr(version, "version", version))


def test_it_serves_dags_and_what_they_include(source: Path) -> None:
    found = bundle()
    assert (found.path / "one.py").read_text() == (source / "dags" / "one.py").read_text()
    assert (found.path.parent / "include" / "jobs" / "job.py").is_file()


def test_in_a_checkout_the_version_follows_the_files(source: Path) -> None:
    before = version_of(bundle())
    assert before.startswith(f"{__version__}+")
    (source / "include" / "jobs" / "job.py").write_text("changed\n")
    assert version_of(bundle()) != before


def test_in_a_wheel_the_version_is_the_providers(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready_made, "_PACKAGED", source)
    assert version_of(bundle()) == __version__


def test_a_run_ends_with_the_files_it_began_with(source: Path) -> None:
    version = version_of(bundle())
    (source / "dags" / "one.py").write_text("changed\n")
    assert "DAG('one')" in (bundle(version).path / "one.py").read_text()


def test_a_worker_that_starts_later_makes_the_copy_itself(source: Path) -> None:
    version = version_of(ReadyMadeDagBundle(name="ready_made"))
    assert (bundle(version).path / "one.py").is_file()


def test_a_version_that_was_never_here_is_named(source: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"version '0.0.1' was never on this machine.*install that version"):
        bundle("0.0.1")


def test_a_missing_folder_is_no_empty_bundle(source: Path) -> None:
    shutil.rmtree(source / "include")
    with pytest.raises(FileNotFoundError):
        bundle()
    assert not list((source.parent / "storage").rglob("dags"))


def test_airflow_loads_it_from_its_configuration(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    config = f'[{{"name": "ready_made", "classpath": "{CLASSPATH}", "kwargs": {{}}}}]'
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", config)
    found = DagBundlesManager().get_bundle("ready_made")
    assert isinstance(found, ReadyMadeDagBundle)
    assert found.supports_versioning
