"""Storage by name: what a mount is, and what it means to Hadoop and to fsspec. ``dbfs:/mnt/<name>/…`` in Spark. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import ClusterSpec, Mount
from airflow_ml_provider.core.storage import CONNECTORS, SCHEMES
from airflow_ml_provider.core.storage.base import Credentials, FileReference, Opened
from airflow_ml_provider.core.storage.rclone import FILE, rclone_config

__all__ = [
    "Credentials",
    "FileReference",
    "Mount",
    "Opened",
    "Settings",
    "check_mounts",
    "connectors",
    "hadoop_settings",
    "open_mount",
    "with_mounts",
]

FILE_KEY = "file:"
"""What a file's name begins with among the secrets of a cluster."""
HADOOP_KEY = "spark.hadoop."
"""What a Hadoop setting begins with among Spark's properties."""

OF_CLASSES: Mapping[str, str] = {
    "spark.sql.sources.commitProtocolClass": "airflow_ml_provider.MountCommitProtocol",
    f"{HADOOP_KEY}mapreduce.input.pathFilter.class": "airflow_ml_provider.FinishedFilter",
}
"""Spark's properties that name our own classes, of runners/Mounts.scala, which every cluster with mounts has."""

_TABLE = "fs.viewfs.mounttable.default.link./mnt"
_READ_ONLY = "readonly"
_FILE_SYSTEM = "airflow_ml_provider.MountFileSystem"
_READ_ONLY_CLASS = "airflow_ml_provider.ReadOnlyFileSystem"


class Settings(NamedTuple):
    """What a Hadoop client needs for some mounts.

    :param conf: settings that anybody may see.
    :param secrets: settings that nobody may see.
    :param files: files by name, as secret as ``secrets``; a :class:`FileReference` in a setting leads to one.
    """

    conf: dict[str, str]
    secrets: dict[str, str]
    files: dict[str, str]


def open_mount(mount: Mount, credentials: Credentials | None) -> Opened:
    """What a mount means, with the connection that opens it.

    :raises SpecError: the source has not the form that its scheme asks for.
    :raises ConfigurationError: the connection cannot open it; the message names the field, and shows no value of it.
    """
    return SCHEMES[mount.scheme](mount.source, credentials)


def check_mounts(mounts: Iterable[Mount]) -> None:
    """Raise :class:`SpecError` for mounts of one name. Names have no slash, so none lies within another."""
    seen: dict[str, Mount] = {}
    problems = []
    for mount in mounts:
        if (before := seen.setdefault(mount.name, mount)) is not mount:
            problems.append(f"mounts: got {mount.name!r} twice, for {before.source!r} and {mount.source!r}: takes each name once")
    if problems:
        raise SpecError(*problems)


def hadoop_settings(opened: Mapping[Mount, Opened]) -> Settings:
    """The settings of several mounts together.

    :raises SpecError: two of them need one setting with two values, such as one bucket through two connections; or Hadoop opens none such.
    """
    check_mounts(opened)
    owners: dict[str, tuple[Mount, str]] = {}
    found = Settings({"fs.dbfs.impl": _FILE_SYSTEM}, {}, {})
    for mount, item in opened.items():
        if not item.link:
            raise SpecError(
                f"mounts: got {mount.name!r} of {mount.scheme}://, which Spark does not read: copy its files elsewhere first"
            )
        _claim(owners, mount, {**item.conf, **item.secrets, **item.files})
        found.conf.update({**item.conf, **_link(mount, item)})
        found.secrets.update(item.secrets)
        found.files.update(item.files)
    return found


def with_mounts(spec: ClusterSpec, opened: Mapping[Mount, Opened]) -> tuple[ClusterSpec, dict[str, str]]:
    """A cluster with its mounts opened: the spec with their settings under its own, and what of them is secret for ``create``."""
    if not opened:
        return spec, {}
    found = hadoop_settings(opened)
    conf = {f"{HADOOP_KEY}{key}": value for key, value in found.conf.items()}
    secrets = {f"{HADOOP_KEY}{key}": value for key, value in found.secrets.items()}
    files = {f"{FILE_KEY}{name}": text for name, text in found.files.items()}
    if folders := {mount: item for mount, item in opened.items() if mount.fuse}:
        files[f"{FILE_KEY}{FILE}"] = rclone_config(folders)
    return spec.model_copy(update={"mounts": tuple(opened), "spark_conf": {**conf, **spec.spark_conf}}), {**secrets, **files}


def connectors(mounts: Iterable[Mount]) -> tuple[str, ...]:
    """The connectors that mounts need, sorted."""
    return tuple(sorted({CONNECTORS[mount.scheme] for mount in mounts if mount.scheme in CONNECTORS}))


def _link(mount: Mount, opened: Opened) -> dict[str, str]:
    if not mount.read_only:
        return {f"{_TABLE}/{mount.name}": opened.link}
    scheme = f"{_READ_ONLY}-{opened.link.partition(':')[0]}"
    return {f"{_TABLE}/{mount.name}": f"{_READ_ONLY}-{opened.link}", f"fs.{scheme}.impl": _READ_ONLY_CLASS}


def _claim(owners: dict[str, tuple[Mount, str]], mount: Mount, settings: Mapping[str, str]) -> None:
    for key, value in settings.items():
        other, theirs = owners.setdefault(key, (mount, value))
        if theirs != value:
            raise SpecError(
                f"mounts: got {other.name!r} and {mount.name!r}, which need the setting {key!r} with two values: "
                "give both the same connection, or mount them on two clusters"
            )
