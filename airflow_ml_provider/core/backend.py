"""The one interface that every service implements."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as member
from datetime import datetime
from enum import StrEnum
from pathlib import PurePath
from typing import Any, ClassVar, Protocol, runtime_checkable

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Spec
from airflow_ml_provider.core.state import ClusterStatus, JobStatus, LogPage, OwnedCluster

Plan = dict[str, Any]
NO_SECRETS: Mapping[str, str] = {}
log = logging.getLogger(__name__)
_LIMITED = ("spark_version", "idle_timeout", "max_lifetime")
"""Fields of a cluster that are features of a service; two of them have a default."""


class Feature(StrEnum):
    """What a spec can ask for and a service may be unable to honour."""

    AUTOSCALING = "autoscaling"
    FILES = "files"
    FUSE_MOUNTS = "fuse_mounts"
    GPUS = "gpus"
    IDLE_TIMEOUT = "idle_timeout"
    INSTANCE_TYPE = "instance_type"
    JOB_LIBRARIES = "job_libraries"
    LIBRARIES = "libraries"
    MAX_LIFETIME = "max_lifetime"
    MOUNTS = "mounts"
    READ_ONLY_MOUNTS = "read_only_mounts"
    SPARK_VERSION = "spark_version"
    SPOT = "spot"


class Backend(Protocol):
    """A service that runs Spark.

    No method waits: the caller polls. All are synchronous, and building a backend is cheap. Only errors of
    :mod:`airflow_ml_provider.core.errors` come out. A native state that this version does not know is ``UNKNOWN``, an id that the
    service has forgotten is ``TERMINATED`` (a job on it ``CANCELLED``), never an error.

    A service may not show new work at once. An id that it gave a short time ago and does not show yet is ``UNKNOWN``, and a call that
    would change it raises :class:`~airflow_ml_provider.core.errors.Unavailable`. A passing fault is ``Unavailable`` too: the caller asks
    again, and work that was done before the answer was lost is found by its token.
    """

    name: ClassVar[str]
    """A URL scheme: hyphens, not underscores."""
    limits: ClassVar[Mapping[Feature, str]]
    """What it cannot honour, and the reason that the user reads."""
    programs: ClassVar[frozenset[type[Spec]]]
    """The program kinds that it runs itself; the others come to it as Python files: :func:`~airflow_ml_provider.core.lowering.lowered`."""

    def plan_cluster(self, spec: ClusterSpec) -> Plan:
        """Translate to the exact payload of :meth:`create`: JSON, no secrets. :class:`SpecError` for what it cannot honour."""
        ...

    def plan_job(self, spec: JobSpec) -> Plan:
        """Translate to the exact payload of :meth:`submit`: JSON, no secrets. :class:`SpecError` for what it cannot honour."""
        ...

    def create(self, plan: Plan, *, token: str, secrets: Mapping[str, str] = NO_SECRETS) -> str:
        """Ask for a cluster and return its id. The same token gives the same id, also after the cluster has ended.

        :param secrets: Spark properties that may appear in no plan, argument or log; what begins with ``file:`` is the text of a
            file of this name, to which a :class:`~airflow_ml_provider.core.storage.base.FileReference` in a property leads.
        """
        ...

    def describe(self, clusters: Collection[str]) -> dict[str, ClusterStatus]:
        """One look at each of the clusters; every id asked for is a key of the answer."""
        ...

    def terminate(self, cluster: str) -> None:
        """Ask for the cluster's end. Idempotent; an unknown id is fine.

        :raises Unavailable: it cannot be ended yet.
        """
        ...

    def owned(self) -> Iterator[OwnedCluster]:
        """The live clusters that this provider made."""
        ...

    def submit(self, cluster: str, plan: Plan, *, token: str, secrets: Mapping[str, str] = NO_SECRETS) -> str:
        """Ask for a job on a cluster that is ``RUNNING`` and return its id. The same token is the same id, and the job runs once.

        :param secrets: environment variables that may appear in no plan, argument or log.
        :raises NotFound: the cluster has ended, and no job with this token is known.
        :raises Unavailable: the cluster is not visible yet, or another attempt at the same work may be under way.
        """
        ...

    def poll(self, cluster: str, jobs: Collection[str]) -> dict[str, JobStatus]:
        """One look at each of the jobs; every id asked for is a key of the answer."""
        ...

    def cancel(self, cluster: str, job: str) -> None:
        """Ask for the job's end. Idempotent; an unknown or ended job is fine.

        :raises Unavailable: it cannot be ended yet.
        """
        ...

    def logs(self, cluster: str, job: str, *, after: str | None = None) -> LogPage:
        """The driver's whole lines after a cursor, oldest first, at most some thousands at once."""
        ...


@runtime_checkable
class ChecksItself(Protocol):
    """A backend that can tell more than its live clusters whether it is ready."""

    def check(self) -> str:
        """Ask for what every cluster will need, and say in a few words what was found. The Test button of a connection asks it.

        :raises ProviderError: something is missing; the message says what to change.
        """
        ...


@runtime_checkable
class RunsHere(Protocol):
    """A backend whose clusters are processes of this machine: they see its files, and reach what it reaches."""

    def has_path(self, path: str) -> bool:
        """Whether a file or folder is there now."""
        ...


@runtime_checkable
class MakesPages(Protocol):
    """A backend whose Spark UI has no address that lasts."""

    def page(self, cluster: str, job: str) -> str:
        """Where a browser finds the job's Spark UI now. It opens for a while to whoever has it: keep it nowhere.

        :raises NotFound: no such cluster or job.
        """
        ...


@runtime_checkable
class LeavesRemains(Protocol):
    """A backend whose service keeps something of a cluster that has ended, until somebody deletes it."""

    def remains(self) -> Iterator[str]:
        """The ids of ended clusters that the service keeps and that nobody needs any more: :meth:`Backend.terminate` deletes one."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a cluster's Spark Connect server answers, over TLS.

    :param target: ``host:port``.
    :param headers: metadata of every call; whoever has it is let in.
    :param expires_at: when the headers stop to count, aware.
    :param spark_version: of the server, where it is known.
    """

    target: str
    headers: Mapping[str, str] = member(repr=False)
    expires_at: datetime
    spark_version: str | None = None


@runtime_checkable
class ServesConnect(Protocol):
    """A backend whose clusters serve Spark Connect to clients elsewhere."""

    def connect(self, cluster: str) -> Endpoint | None:
        """Where a cluster that is ``RUNNING`` serves Spark Connect; None while that starts. Asked again, its headers last longer.

        :raises ServiceError: it does not start.
        :raises SpecError: it cannot on this cluster.
        """
        ...


def refuse_unsupported(backend: type[Backend] | Backend, spec: ClusterSpec | JobSpec) -> None:
    """Raise :class:`SpecError` for what no backend can honour, and for every feature asked for that the backend's ``limits`` list.

    A default that the backend cannot honour, and that nobody asked for, is logged.
    """
    asked = _asked_features(spec) if isinstance(spec, ClusterSpec) else _asked_features_of_job(spec)
    problems = [
        f"{type(spec).__name__}.{field}: the {backend.name} backend cannot honour it: {backend.limits[feature]}"
        for feature, field in asked
        if feature in backend.limits
    ]
    if isinstance(spec, JobSpec):
        problems += _same_names(spec.files)
    if problems:
        raise SpecError(*problems)
    for sentence in dropped_defaults(backend, spec) if isinstance(spec, ClusterSpec) else ():
        log.warning("%s", sentence)


def dropped_defaults(backend: type[Backend] | Backend, spec: ClusterSpec) -> list[str]:
    """A sentence for each field whose default the backend cannot honour, and that nobody has set."""
    left = [field for field in _LIMITED if field not in spec.model_fields_set and getattr(spec, field) is not None]
    return [
        f"ClusterSpec.{field}: the default, {getattr(spec, field)}, has no effect on the {backend.name} backend: "
        f"{backend.limits[Feature(field)]}. Set {field}=None to confirm"
        for field in left
        if Feature(field) in backend.limits
    ]


def _asked_features(spec: ClusterSpec) -> Iterator[tuple[Feature, str]]:
    for role in ("driver", "worker"):
        node = getattr(spec, role)
        if node.gpus:
            yield Feature.GPUS, f"{role}.gpus"
        if node.instance_type:
            yield Feature.INSTANCE_TYPE, f"{role}.instance_type"
        if node.spot:
            yield Feature.SPOT, f"{role}.spot"
    if spec.libraries:
        yield Feature.LIBRARIES, "libraries"
    yield from _asked_of_mounts(spec)
    if spec.max_workers is not None:
        yield Feature.AUTOSCALING, "max_workers"
    for field in _LIMITED:
        if field in spec.model_fields_set and getattr(spec, field) is not None:
            yield Feature(field), field


def _asked_features_of_job(spec: JobSpec) -> Iterator[tuple[Feature, str]]:
    if spec.files:
        yield Feature.FILES, "files"
    if spec.libraries:
        yield Feature.JOB_LIBRARIES, "libraries"


def _same_names(files: Sequence[str]) -> list[str]:
    """The program finds each file by its name, in one folder."""
    seen: dict[str, str] = {}
    twice = [(file, seen[name]) for file in files if (name := PurePath(file).name) in seen or seen.update({name: file})]
    return [f"JobSpec.files: got {file!r} beside {other!r}: takes one file of a name" for file, other in twice if file != other]


def _asked_of_mounts(spec: ClusterSpec) -> Iterator[tuple[Feature, str]]:
    if spec.mounts:
        yield Feature.MOUNTS, "mounts"
    for feature, field in ((Feature.READ_ONLY_MOUNTS, "read_only"), (Feature.FUSE_MOUNTS, "fuse")):
        if any(getattr(mount, field, False) for mount in spec.mounts):
            yield feature, f"mounts.{field}"
