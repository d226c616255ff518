"""What a user asks for: a cluster, a job, a program. Frozen, checked, and the same on every service."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.storage import SCHEMES
from airflow_ml_provider.core.storage.base import split_source

_MEMORY = re.compile(r"(\d+)\s*([kmgt])(?:i?b)?", re.IGNORECASE)
_NUMBER = re.compile(r"\s*\d+(\.\d+)?\s*")
_MOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_UNIT_MIB = {"k": 1 / 1024, "m": 1, "g": 1024, "t": 1024 * 1024}


def memory_mib(text: str) -> int:
    """Size in MiB of a JVM-style size such as ``512m`` or ``4g``."""
    match = _MEMORY.fullmatch(text.strip())
    if not match:
        raise ValueError("takes a size with a unit, such as 512m or 4g")
    return int(int(match[1]) * _UNIT_MIB[match[2].lower()])


def _is_memory(text: str) -> str:
    if memory_mib(text) < 1:
        raise ValueError("takes at least 1m")
    return text.strip().lower()


def _rendered_seconds(value: Any) -> Any:
    """A number of seconds may come from a template, which renders to text."""
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


Memory = Annotated[str, AfterValidator(_is_memory)]
Seconds = Annotated[timedelta, BeforeValidator(_rendered_seconds), Field(gt=timedelta(0))]


class Spec(BaseModel):
    """Base of every spec. A wrong field raises :class:`SpecError`, which names it, what it got and what it takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise SpecError(*_problems(type(self), error)) from None


def _problems(spec: type[Spec], error: ValidationError) -> list[str]:
    return [sentence for item in error.errors() for sentence in _problem(spec, item)]


def _problem(spec: type[Spec], item: Mapping[str, Any]) -> list[str]:
    where = ".".join([spec.__name__, *(str(part) for part in item["loc"])])
    nested = item.get("ctx", {}).get("error")
    if isinstance(nested, SpecError):
        return [f"{where}: {problem}" for problem in nested.problems]
    if item["type"] == "extra_forbidden":
        return [f"{where}: no such field. {_suggestion(str(item['loc'][-1]), list(spec.model_fields))}"]
    if item["type"] == "missing":
        return [f"{where}: is required"]
    message = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:
        return [f"{where}: {message}"]
    return [f"{where}: got {item['input']!r}: {message}"]


def _suggestion(name: str, fields: list[str]) -> str:
    close = difflib.get_close_matches(name, fields, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"The fields are {', '.join(fields)}."


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
        ``hdfs://host:port/path``, ``file:///path`` or an absolute path. The path is as the store has it, nothing escaped.
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
        scheme = split_source(source).scheme
        if scheme not in SCHEMES:
            raise ValueError(f"takes a URI with one of the schemes {', '.join(sorted(SCHEMES))}, or an absolute path")
        return source

    @property
    def scheme(self) -> str:
        """Of the source, in lower case; ``file`` for a folder."""
        return split_source(self.source).scheme


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
    native: dict[str, Any] = {}

    @model_validator(mode="after")
    def _scales_upwards(self) -> ClusterSpec:
        if self.max_workers is not None and self.max_workers < self.workers:
            raise ValueError(f"max_workers={self.max_workers} is less than workers={self.workers}")
        return self


class PythonFile(Spec):
    """A PySpark program in a file.

    :param path: the file, absolute, on the machine that submits it.
    :param args: what follows the file's name on its command line. Nothing secret.
    :param api: ``connect`` for DataFrames, SQL and Spark ML through Spark Connect; ``classic`` for a program that needs the JVM
        driver in its own process (``SparkContext``, RDDs). A service without Spark Connect runs both the same way.
    """

    kind: Literal["python_file"] = "python_file"
    path: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    api: Literal["connect", "classic"] = "connect"


class PythonCode(Spec):
    """A PySpark program as text, such as the body of a decorated function. Fields as in :class:`PythonFile`."""

    kind: Literal["python_code"] = "python_code"
    source: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    api: Literal["connect", "classic"] = "connect"


Program = Annotated[PythonFile | PythonCode, Field(discriminator="kind")]


class JobSpec(Spec):
    """One program to run on a cluster.

    The program finds the path in ``AIRFLOW_ML_RESULT`` in its environment; a JSON document written there is the job's result.

    :param name: what people call it.
    :param spark_conf: Spark properties of this job alone; those that only a new JVM can take are refused under Spark Connect.
    :param env: environment variables of the program. Nothing secret: a plan is printable.
    :param timeout: the service ends the job when it ran for so long; None never does.
    :param native: merged last into the payload that the service gets.
    """

    RESULT_VARIABLE: ClassVar[str] = "AIRFLOW_ML_RESULT"

    name: str = Field(min_length=1)
    program: Program
    spark_conf: dict[str, str] = {}
    env: dict[str, str] = {}
    timeout: Seconds | None = None
    native: dict[str, Any] = {}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` laid on it, mappings merged key by key and everything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
