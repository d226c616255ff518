"""The jars that Spark needs for mounts and does not have: connectors from Maven, named in ``connectors.json``, and our own classes.

All are kept in the root's cache. A connector's jars are downloaded once, and each is what the lock file says, to the bit.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from airflow_ml_provider.backends.local.layout import alone, make_folder
from airflow_ml_provider.backends.local.translate import OWN_CLASSES
from airflow_ml_provider.core import tools
from airflow_ml_provider.core.errors import CapacityError, ConfigurationError, ProviderError, Unavailable
from airflow_ml_provider.core.fields import without_logins
from airflow_ml_provider.core.lowering import RUNNERS

LOCK = Path(__file__).with_name("connectors.json")
REPOSITORY_VARIABLE = "MAVEN_REPOSITORY_URL"
"""Names another Maven repository to take the connectors from."""
_REPOSITORY = "https://repo1.maven.org/maven2"
_CLASSES = RUNNERS / "Mounts.scala"
_TOGETHER = 8
_TIMEOUT = 60.0
_TRIES = 3
_COMPILES_WITHIN = 300.0
_LATER = (408, 425, 429)


def class_path(cache: Path, spark_home: Path, java: Path, libraries: Sequence[str]) -> list[Path]:
    """What a cluster has after Spark's jars.

    :param libraries: connectors by name, ``mounts`` for our own classes.
    :raises ConfigurationError: a connector is missing and cannot be had, or our classes do not fit this Spark.
    :raises Unavailable: the repository of a missing connector cannot be reached.
    """
    stores = [path for name in libraries if name != OWN_CLASSES for path in _connector(cache, spark_home, name)]
    return [*stores, _classes(cache, spark_home, java)] if OWN_CLASSES in libraries else stores


def hadoop_version(spark_home: Path) -> str:
    """The version of Spark's Hadoop client."""
    found = next(iter((spark_home / "jars").glob("hadoop-client-api-*.jar")), None)
    return found.stem.removeprefix("hadoop-client-api-") if found else ""


def _connector(cache: Path, spark_home: Path, name: str) -> list[Path]:
    lock = json.loads(LOCK.read_bytes())
    hadoop = hadoop_version(spark_home)
    if hadoop != lock["hadoop"]:
        fix = f"install a PySpark with Hadoop {lock['hadoop']}"
        raise ConfigurationError(
            f"mounts: the connector {name!r} is known for Hadoop {lock['hadoop']}, and Spark has {hadoop}: {fix}"
        )
    locked: list[dict[str, Any]] = lock["libraries"][name]
    folder = cache / "connectors" / hadoop / name
    if not folder.is_dir():
        with alone(cache / f"{folder.name}.lock"):
            if not folder.is_dir():
                _download(name, locked, folder)
    return [folder / _file(jar["jar"]) for jar in locked]


def _download(name: str, locked: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Fetch every jar of a connector; the folder appears when all are there."""
    make_folder(folder.parent)
    arriving = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{name}-"))
    try:
        with ThreadPoolExecutor(_TOGETHER) as pool:
            for jar, content in zip(locked, pool.map(_fetch, locked), strict=True):
                (arriving / _file(jar["jar"])).write_bytes(content)
        os.replace(arriving, folder)
    except (OSError, HTTPException) as error:
        raise _failure(name, error) from error
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


def _fetch(jar: Mapping[str, Any]) -> bytes:
    group, artifact, version = jar["jar"].split(":")
    url = f"{_repository()}/{group.replace('.', '/')}/{artifact}/{version}/{_file(jar['jar'])}"
    for tries_left in reversed(range(_TRIES)):
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 - the scheme is the administrator's
                content: bytes = answer.read()
        except (OSError, HTTPException) as error:
            if not tries_left or not _is_passing(error):
                raise
        else:
            break
    if hashlib.sha256(content).hexdigest() != jar["sha256"]:
        raise OSError(f"{without_logins(url)} is not the file that {LOCK.name} names")
    return content


def _failure(name: str, error: Exception) -> ProviderError:
    """The error for a connector that could not be downloaded."""
    what = f"mounts: the connector {name!r} could not be downloaded ({error})"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CapacityError(f"{what}: make room, or give the connection another staging_uri")
    repository = without_logins(_repository())
    if _is_passing(error):
        return Unavailable(f"{what}: {repository} cannot be reached, or answers with an error of its own")
    fix = f"let this machine reach {repository}, or name another Maven repository in the variable {REPOSITORY_VARIABLE}"
    return ConfigurationError(f"{what}: {fix}")


def _is_passing(error: Exception) -> bool:
    """Whether a download that failed may succeed later."""
    if isinstance(error, HTTPError):
        return error.code >= 500 or error.code in _LATER
    return isinstance(error, (URLError, TimeoutError, ConnectionError, HTTPException))


def _classes(cache: Path, spark_home: Path, java: Path) -> Path:
    """Our classes as a jar, compiled once for this Spark with the compiler that it has."""
    key = hashlib.sha256(_CLASSES.read_bytes() + str(spark_home).encode() + hadoop_version(spark_home).encode()).hexdigest()[:16]
    jar = cache / f"mounts-{key}.jar"
    if not jar.is_file():
        with alone(cache / f"{jar.name}.lock"):
            if not jar.is_file():
                _compile(jar, spark_home, java)
    return jar


def _compile(jar: Path, spark_home: Path, java: Path) -> None:
    made = jar.with_name(f".{os.getpid()}-{jar.name}")
    compiler = ["scala.tools.nsc.Main", "-usejavacp", "-nowarn", "-d", str(made), str(_CLASSES)]
    command = [str(java), "-XX:TieredStopAtLevel=1", "-cp", f"{spark_home / 'jars'}/*", *compiler]
    code, out, err = tools.run(command, env=tools.clean_environment(os.environ), seconds=_COMPILES_WITHIN)
    if code:
        raise ConfigurationError(f"mounts: {_CLASSES.name} does not fit the Spark in {spark_home}: {out[-500:]}{err[-500:]}")
    made.replace(jar)


def _repository() -> str:
    return os.environ.get(REPOSITORY_VARIABLE, _REPOSITORY).rstrip("/")


def _file(coordinates: str) -> str:
    _, artifact, version = coordinates.split(":")
    return f"{artifact}-{version}.jar"
