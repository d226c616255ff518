"""The ``spark_cluster`` connection: which service runs Spark, and what every cluster on it has in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from airflow.sdk.bases.hook import BaseHook

from airflow_ml_provider._compat import AirflowNotFoundException
from airflow_ml_provider.core.backend import Backend
from airflow_ml_provider.core.caches import default_root
from airflow_ml_provider.core.errors import ConfigurationError, ProviderError, SpecError
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.registry import BACKENDS, backend_class
from airflow_ml_provider.core.spec import ClusterSpec, merge
from airflow_ml_provider.hooks.aws import aws_clients
from airflow_ml_provider.hooks.forms import form_widgets, ui_field_behaviour
from airflow_ml_provider.hooks.given import given
from airflow_ml_provider.hooks.reopening import Reopening

DEFAULT_CONN_ID = "spark_cluster_default"


@dataclass(frozen=True, slots=True)
class ClusterConnection:
    """The fields of a ``spark_cluster`` connection.

    :param conn_id: the connection's own id.
    :param backend: the service's name.
    :param credentials_conn_id: the connection that opens the service.
    :param staging_uri: where programs and state are kept.
    :param defaults: laid under the fields of every cluster.
    """

    conn_id: str
    backend: str = "local"
    credentials_conn_id: str | None = None
    staging_uri: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def wrong(self, name: str, problem: str) -> ConfigurationError:
        """The error that names one of the fields."""
        return ConfigurationError(f"connection {self.conn_id!r}, extra field {name!r}: {problem}")


@dataclass(frozen=True, slots=True)
class Service:
    """How a backend is built from a connection, and how often it is asked.

    :param poll_interval: seconds between looks at one thing.
    """

    build: Callable[[ClusterConnection], Backend]
    poll_interval: float = 10.0


def _build_local(connection: ClusterConnection) -> Backend:
    root = _local_root(connection)
    return backend_class("local")(root=root)  # type: ignore[call-arg]


def _build_memory(connection: ClusterConnection) -> Backend:
    return backend_class("memory")(service=connection.staging_uri or "default")  # type: ignore[call-arg]


def _build_on_aws(connection: ClusterConnection) -> Backend:
    if not connection.staging_uri:
        problem = "is empty: takes where programs and results are kept, such as s3://bucket/airflow"
        raise connection.wrong("staging_uri", problem)
    try:
        made: Backend = backend_class(connection.backend)(clients=aws_clients(connection), staging_uri=connection.staging_uri)  # type: ignore[call-arg]
    except SpecError as error:
        raise connection.wrong("staging_uri", str(error)) from None
    return made


def _local_root(connection: ClusterConnection) -> Path:
    if not connection.staging_uri:
        return default_root()
    parts = urlsplit(connection.staging_uri)
    path = Path(unquote(parts.path)).expanduser()
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost") or not path.is_absolute():
        problem = f"got {connection.staging_uri!r}: the local backend takes an absolute folder, such as file:///var/lib/spark"
        raise connection.wrong("staging_uri", problem)
    return path


SERVICES: dict[str, Service] = {
    "emr": Service(_build_on_aws),
    "emr-serverless": Service(_build_on_aws),
    "local": Service(_build_local, poll_interval=0.25),
    "memory": Service(_build_memory, poll_interval=0.05),
}


def _built(connection: ClusterConnection) -> Backend:
    return SERVICES[connection.backend].build(connection)


class SparkClusterHook(BaseHook):
    """Opens the service that a ``spark_cluster`` connection names.

    :param spark_conn_id: the connection's id.
    """

    conn_name_attr = "spark_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "spark_cluster"
    hook_name = "Spark cluster"

    def __init__(self, spark_conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.spark_conn_id = spark_conn_id

    @classmethod
    def for_handle(cls, handle: Handle | str) -> SparkClusterHook:
        """The hook of a cluster or job; :class:`ConfigurationError` when its connection now leads to another service."""
        handle = Handle.parse(handle) if isinstance(handle, str) else handle
        hook = cls(handle.conn_id)
        if hook.connection.backend != handle.backend:
            problem = f"got {hook.connection.backend!r}, but {handle} was made on {handle.backend!r}: change it back"
            raise hook.connection.wrong("backend", problem)
        return hook

    @cached_property
    def connection(self) -> ClusterConnection:
        """The connection's fields, checked; :class:`ConfigurationError` names a wrong one.

        :raises Unavailable: Airflow's API server does not give it.
        """
        try:
            with given(f"connection {self.spark_conn_id!r}"):
                found = self.get_connection(self.spark_conn_id)
        except AirflowNotFoundException:
            fix = f"create a connection with this id and the type {self.conn_type!r}"
            raise ConfigurationError(f"connection {self.spark_conn_id!r} does not exist: {fix}") from None
        if found.conn_type != self.conn_type:
            raise ConfigurationError(
                f"connection {self.spark_conn_id!r}: got the type {found.conn_type!r}: takes {self.conn_type!r}"
            )
        return parse_connection(self.spark_conn_id, found.extra)

    @cached_property
    def backend(self) -> Backend:
        """The service behind the connection, opened again when it denies a call. Makes no call."""
        return cast(Backend, Reopening(_built(self.connection), self._open_again))

    def _open_again(self) -> Backend:
        """The service, with the credentials that its connections have now."""
        now = type(self)(self.spark_conn_id).connection
        if now.backend != self.connection.backend:
            raise now.wrong("backend", f"got {now.backend!r}, which was {self.connection.backend!r} before: change it back")
        return _built(now)

    @property
    def poll_interval(self) -> float:
        """Seconds between looks that suit the service."""
        return SERVICES[self.connection.backend].poll_interval

    def get_conn(self) -> Backend:
        """The service behind the connection, under the name that Airflow's hooks give it."""
        return self.backend

    def cluster_spec(self, fields: Mapping[str, Any]) -> ClusterSpec:
        """The connection's defaults with ``fields`` laid on them; :class:`SpecError` names a wrong field."""
        try:
            ClusterSpec(**self.connection.defaults)
        except SpecError as error:
            raise self.connection.wrong("defaults", str(error)) from None
        return ClusterSpec(**merge(self.connection.defaults, fields))

    def open_mounts(self, spec: ClusterSpec) -> tuple[ClusterSpec, dict[str, str]]:
        """The spec with its mounts opened, and what of them is secret for ``create``; errors as :func:`mounted.open_mounts`."""
        if not spec.mounts:
            return spec, {}
        from airflow_ml_provider.hooks.mounted import open_mounts

        return open_mounts(spec, here=self.connection.backend == "local")

    def test_connection(self) -> tuple[bool, str]:
        """What the Test button does: check every field, then ask the service for its live clusters."""
        try:
            spec, _ = self.open_mounts(self.cluster_spec({}))
            self.backend.plan_cluster(spec)
            check = getattr(self.backend, "check", None)
            found = check() if check else None
            live = sum(1 for _ in self.backend.owned())
        except ProviderError as error:
            return False, str(error)
        return True, f"{self.connection.backend}: ready, {live} live clusters" + (f" ({found})" if found else "")

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The form's fields for Airflow 3.1; later versions read them from the provider info."""
        return form_widgets(cls.conn_type)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Which standard fields the form shows in Airflow 3.1; later versions read it from the provider info."""
        return ui_field_behaviour(cls.conn_type)


def parse_connection(conn_id: str, extra: str | None) -> ClusterConnection:
    """Read a connection's extra field; :class:`ConfigurationError` names what is wrong and what it takes."""
    fields = {name: value for name, value in _json_object(conn_id, "extra", extra).items() if value not in (None, "")}
    known = ("backend", "credentials_conn_id", "staging_uri", "defaults")
    if unknown := sorted(set(fields) - set(known)):
        raise ConfigurationError(f"connection {conn_id!r}, extra: no such field: {unknown[0]!r}: takes {', '.join(known)}")
    fields["defaults"] = _json_object(conn_id, "extra field 'defaults'", fields.get("defaults"))
    connection = ClusterConnection(conn_id, **fields)
    if connection.backend not in BACKENDS:
        raise connection.wrong("backend", f"got {connection.backend!r}: takes one of {', '.join(sorted(BACKENDS))}")
    return connection


def _json_object(conn_id: str, where: str, value: Any) -> dict[str, Any]:
    try:
        found = json.loads(value or "{}") if value is None or isinstance(value, str) else value
    except ValueError as error:
        raise ConfigurationError(f"connection {conn_id!r}, {where}: is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"connection {conn_id!r}, {where}: got {type(found).__name__}: takes a JSON object")
    return found
