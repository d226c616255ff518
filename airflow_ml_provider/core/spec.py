"""What a user asks for: a cluster, a job, a program. Frozen, checked, and the same on every service."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from airflow_ml_provider.core.fields import Memory, Seconds, Spec, memory_mib, merge
from airflow_ml_provider.core.libraries import Jar, Library, Maven, PyPI, Requirements, Wheel
from airflow_ml_provider.core.programs import (
    Notebook,
    Program,
    PythonCode,
    PythonFile,
    PythonWheel,
    RScript,
    ScalaSource,
    SparkJar,
    Sql,
)

__all__ = [
    "ClusterSpec",
    "Jar",
    "JobSpec",
    "Library",
    "Maven",
    "Memory",
    "Mount",
    "Node",
    "Notebook",
    "Program",
    "PyPI",
    "PythonCode",
    "PythonFile",
    "PythonWheel",
    "RScript",
    "Requirements",
    "ScalaSource",
    "Seconds",
    "SparkJar",
    "Spec",
    "Sql",
    "Wheel",
    "memory_mib",
    "merge",
]

_MOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class Node(Spec):
    """The machine that a driver or a worker runs on. What is None is the service's default.

    :param cores: CPU cores that Spark may use.
    :param memory: memory of the Spark process, ``4g`` style.
    :param gpus: accelerators on the machine.
    :param instance_type: the service's own name for the machine, such as ``m6i.xlarge``.
    :param spot: take interruptible capacity.
    """

    cores: int | None = Field(default=None, ge=1)
    memory: Memory | None = None
    gpus: int = Field(default=0, ge=0)
    instance_type: str | None = None
    spot: bool = False


class Mount(Spec):
    """A name for a place in storage.

    :param name: 1 to 63 letters, digits, ``_``, ``.`` and ``-``. Spark finds the place as ``dbfs:/mnt/<name>/``.
    :param source: the place: ``s3://bucket/path``, ``abfss://container@account.dfs.core.windows.net/path``, ``gs://bucket/path``,
        ``hdfs://host:port/path``, ``file:///path`` or an absolute path; in Airflow alone, ``sftp://host:port/path``. The path is as the store has it, nothing escaped.
    :param conn_id: the Airflow connection that opens it; None leaves it to whoever the cluster's machines are.
    :param read_only: refuse whatever would change it.
    :param fuse: give programs that only open files a folder.
    """

    name: str
    source: str
    conn_id: str | None = None
    read_only: bool = False
    fuse: bool = False

    def __init__(self, name: Any = ..., source: Any = ..., conn_id: Any = None, **more: Any) -> None:
        given = {"name": name, "source": source, "conn_id": conn_id}
        super().__init__(**{field: value for field, value in given.items() if value is not ...}, **more)

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if "/" in name:
            raise ValueError("has a slash: mounts lie side by side, so take a name, and give the folder in source")
        if not _MOUNT_NAME.fullmatch(name):
            raise ValueError("takes 1 to 63 letters, digits, '_', '.' and '-', a letter or digit first")
        return name

    @field_validator("source")
    @classmethod
    def _has_a_known_scheme(cls, source: str) -> str:
        # Late, as a DAG file mostly names its mounts: the tables of every store would be a tenth of its parse.
        from airflow_ml_provider.core.storage import SCHEMES, split_source

        scheme = split_source(source).scheme
        if scheme not in SCHEMES:
            raise ValueError(f"takes a URI with one of the schemes {', '.join(sorted(SCHEMES))}, or an absolute path")
        return source

    @property
    def scheme(self) -> str:
        """Of the source, in lower case; ``file`` for a folder."""
        from airflow_ml_provider.core.storage import split_source

        return split_source(self.source).scheme


MountOrId = Annotated[
    Annotated[Mount, Tag("mount")] | Annotated[str, Tag("id")],
    Discriminator(lambda value: "id" if isinstance(value, str) else "mount"),
]
"""A mount, or the id of the connection that holds one."""


class ClusterSpec(Spec):
    """An ephemeral Spark cluster.

    :param name: what people call it; 1 to 63 letters, digits, ``_``, ``.`` and ``-``.
    :param driver: the machine of the driver (single node: of everything).
    :param worker: the machine of each worker.
    :param workers: how many; 0 runs driver and executors on one machine.
    :param max_workers: with it, the cluster scales between ``workers`` and this.
    :param spark_version: the Spark version's beginning, such as ``4.2``; None takes the service's default.
    :param spark_conf: Spark properties of the whole cluster.
    :param env: environment variables of driver and executors. Nothing secret: a plan is printable.
    :param idle_timeout: the service ends the cluster when no job ran for so long; None never does.
    :param max_lifetime: the service ends the cluster when it is so old, whatever runs; None never does.
    :param tags: labels on the service's own objects.
    :param libraries: what every program on the cluster finds installed.
    :param mounts: storage by name, ``dbfs:/mnt/<name>/`` in Spark; a text is the id of a connection of type ``mount``.
    :param native: merged last into the payload that the service gets.
    """

    name: str = Field(default="spark", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    driver: Node = Node()
    worker: Node = Node()
    workers: int = Field(default=0, ge=0)
    max_workers: int | None = Field(default=None, ge=1)
    spark_version: str | None = None
    spark_conf: dict[str, str] = {}
    env: dict[str, str] = {}
    idle_timeout: Seconds | None = timedelta(minutes=30)
    max_lifetime: Seconds | None = timedelta(hours=24)
    tags: dict[str, str] = {}
    libraries: tuple[Library, ...] = ()
    mounts: tuple[MountOrId, ...] = ()
    native: dict[str, Any] = {}

    @model_validator(mode="after")
    def _scales_upwards(self) -> ClusterSpec:
        if self.max_workers is not None and self.max_workers < self.workers:
            raise ValueError(f"max_workers={self.max_workers} is less than workers={self.workers}")
        return self


class JobSpec(Spec):
    """One program to run on a cluster.

    The program finds the path in ``AIRFLOW_ML_RESULT`` in its environment; a JSON document written there is the job's result.

    :param name: what people call it.
    :param spark_conf: Spark properties of this job alone; those that only a new JVM can take are refused under Spark Connect.
    :param env: environment variables of the program. Nothing secret: a plan is printable.
    :param files: on the machine that submits; the program finds each by its own name in its working directory.
    :param libraries: what this job alone finds installed, on top of the cluster's.
    :param timeout: the service ends the job when it ran for so long; None never does.
    :param native: merged last into the payload that the service gets.
    """

    RESULT_VARIABLE: ClassVar[str] = "AIRFLOW_ML_RESULT"

    name: str = Field(min_length=1)
    program: Program
    spark_conf: dict[str, str] = {}
    env: dict[str, str] = {}
    files: tuple[str, ...] = ()
    libraries: tuple[Library, ...] = ()
    timeout: Seconds | None = None
    native: dict[str, Any] = {}
