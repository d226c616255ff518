"""Connectors are what the lock file says, downloaded once, and missing ones are told with the fix."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from airflow_ml_provider.backends.local import connectors
from airflow_ml_provider.backends.local.supervisor import spark_home
from airflow_ml_provider.core.errors import ConfigurationError, Unavailable
from airflow_ml_provider.core.storage import CONNECTORS

CONTENT = b"a jar"


@pytest.fixture
def spark(tmp_path: Path) -> Path:
    """A Spark with Hadoop 3.5.0, as far as connectors look."""
    (tmp_path / "spark" / "jars").mkdir(parents=True)
    (tmp_path / "spark" / "jars" / "hadoop-client-api-3.5.0.jar").touch()
    return tmp_path / "spark"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository of our own with one jar, which the lock file names."""
    folder = tmp_path / "maven" / "org" / "apache" / "thing" / "1.0"
    folder.mkdir(parents=True)
    (folder / "thing-1.0.jar").write_bytes(CONTENT)
    jar = {"jar": "org.apache:thing:1.0", "sha256": hashlib.sha256(CONTENT).hexdigest(), "bytes": len(CONTENT)}
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps({"hadoop": "3.5.0", "libraries": {"aws": [jar]}}))
    monkeypatch.setattr(connectors, "LOCK", lock)
    handler = partial(_Quiet, directory=str(tmp_path / "maven"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(connectors.REPOSITORY_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
        yield folder
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_the_lock_file_fits_the_installed_spark_and_every_store() -> None:
    lock = json.loads(connectors.LOCK.read_text())
    assert lock["hadoop"] == connectors.hadoop_version(spark_home())
    assert set(lock["libraries"]) == set(CONNECTORS.values())
    assert sum(jar["bytes"] for jar in lock["libraries"]["aws"]) < 20_000_000
    assert not [jar for jars in lock["libraries"].values() for jar in jars if "bundle" in jar["jar"]]


def test_a_connector_is_downloaded_once(repository: Path, spark: Path, tmp_path: Path) -> None:
    (jar,) = connectors.class_path(tmp_path / "cache", spark, Path("java"), ["aws"])
    assert jar.read_bytes() == CONTENT
    (repository / "thing-1.0.jar").unlink()
    assert connectors.class_path(tmp_path / "cache", spark, Path("java"), ["aws"]) == [jar]


def test_another_file_than_the_locked_one_is_refused(repository: Path, spark: Path, tmp_path: Path) -> None:
    (repository / "thing-1.0.jar").write_bytes(b"another jar")
    with pytest.raises(ConfigurationError, match=r"'aws' could not be downloaded \(.* is not the file that lock.json names\)"):
        connectors.class_path(tmp_path / "cache", spark, Path("java"), ["aws"])
    assert not list((tmp_path / "cache").rglob("*.jar"))


def test_a_missing_connector_names_the_fix(repository: Path, spark: Path, tmp_path: Path) -> None:
    (repository / "thing-1.0.jar").unlink()
    with pytest.raises(ConfigurationError, match=r"name another Maven repository in the variable MAVEN_REPOSITORY_URL"):
        connectors.class_path(tmp_path / "cache", spark, Path("java"), ["aws"])


def test_another_hadoop_is_refused(repository: Path, spark: Path, tmp_path: Path) -> None:
    (spark / "jars" / "hadoop-client-api-3.5.0.jar").rename(spark / "jars" / "hadoop-client-api-3.6.0.jar")
    with pytest.raises(ConfigurationError, match=r"is known for Hadoop 3.5.0, and Spark has 3.6.0: install a PySpark"):
        connectors.class_path(tmp_path / "cache", spark, Path("java"), ["aws"])


class _Busy(_Quiet):
    def do_GET(self) -> None:
        self.send_error(503)


def test_a_repository_that_does_not_answer_is_a_passing_fault(
    repository: Path, spark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert repository
    with ThreadingHTTPServer(("127.0.0.1", 0), _Busy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(connectors.REPOSITORY_VARIABLE, f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(
            Unavailable, match=r"'aws' could not be downloaded \(HTTP Error 503.* cannot be reached, or answers with"
        ):
            connectors.class_path(tmp_path / "cache", spark, Path("java"), ["aws"])
        server.shutdown()
    with pytest.raises(Unavailable, match=r"Connection refused"):
        connectors.class_path(tmp_path / "cache", spark, Path("java"), ["aws"])
