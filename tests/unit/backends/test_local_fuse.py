"""FUSE, where it is missing, and the removal of what a cluster leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.backends.local import fuse
from airflow_ml_provider.backends.local.layout import ClusterFolder
from airflow_ml_provider.core.errors import ConfigurationError

FOLDER: dict[str, Any] = {"name": "raw", "read_only": False, "path": None}


def test_a_machine_without_fuse_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fuse.check([{**FOLDER, "path": "/data"}], path="")
    (tmp_path / "device").touch()
    monkeypatch.setattr(fuse, "DEVICE", tmp_path / "device")
    with pytest.raises(ConfigurationError, match="'raw', .* there is no fusermount3 on PATH: install the system's package fuse3"):
        fuse.check([FOLDER], path=str(tmp_path))
    monkeypatch.setattr(fuse, "DEVICE", tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="missing does not exist: load .* --device /dev/fuse --cap-add SYS_ADMIN"):
        fuse.check([FOLDER], path=str(tmp_path))


def test_a_linked_folder_outlives_its_cluster(tmp_path: Path) -> None:
    data, cluster = tmp_path / "data", ClusterFolder(tmp_path / "cluster")
    data.mkdir()
    (data / "mine").touch()
    cluster.mounts.mkdir(parents=True)
    (cluster.mounts / "raw").symlink_to(data)
    assert cluster.clear() == []
    assert not cluster.mounts.exists() and (data / "mine").exists()


def test_what_is_not_stored_stays_and_the_rest_goes(tmp_path: Path) -> None:
    cluster = ClusterFolder(tmp_path)
    for name, dirty in (("kept", True), ("gone", False)):
        note = cluster.folders / name / "cache" / "vfsMeta" / "x"
        note.parent.mkdir(parents=True)
        note.write_text(json.dumps({"Dirty": dirty}), encoding="utf-8")
    (cluster.folders / "rclone.conf").write_text("secret", encoding="utf-8")
    (told,) = cluster.clear()
    assert told.startswith("1 files that programs wrote into the folder of mount 'kept' are not in its store: ")
    assert [path.name for path in cluster.folders.iterdir()] == ["kept"]
