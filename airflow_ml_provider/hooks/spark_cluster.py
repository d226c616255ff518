"""The ``spark_cluster`` connection: which service runs Spark, and what every cluster on it has in common."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

from airflow.sdk.bases.hook import BaseHook

from airflow_ml_provider._compat import AirflowNotFoundException
from airflow_ml_provider.core.backend import Backend, ChecksItself
from airflow_ml_provider.core.errors import ConfigurationError, ProviderError, SpecError
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.registry import backend_class, backend_entry, load
from airflow_ml_provider.core.spec import ClusterSpec, merge
from airflow_ml_provider.hooks.connection import ClusterConnection, parse_connection
from airflow_ml_provider.hooks.forms import form_widgets, ui_field_behaviour
from airflow_ml_provider.hooks.given import given
from airflow_ml_provider.hooks.reopening import Reopening

log = logging.getLogger(__name__)
DEFAULT_CONN_ID = "spark_cluster_default"


def _built(connection: ClusterConnection) -> Backend:
    """The service, signed in as the connection says. Makes no call.

    :raises ConfigurationError: names the field that is wrong, or says what to install.
    """
    arguments = load(connection.backend, backend_entry(connection.backend).sign_in)(connection)
    make: Any = backend_class(connection.backend)
    try:
        return cast("Backend", make(**arguments))
    except SpecError as error:
        raise connection.wrong("staging_uri", str(error)) from None


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
        """The connection's fields, checked. Without a connection of the default id, those of the local backend.

        :raises ConfigurationError: a field is wrong, or there is no such connection.
        :raises Unavailable: Airflow's API server does not give it.
        """
        try:
            with given(f"connection {self.spark_conn_id!r}"):
                found = self.get_connection(self.spark_conn_id)
        except AirflowNotFoundException:
            if self.spark_conn_id == DEFAULT_CONN_ID:
                log.info("There is no connection %r: Spark runs on this machine. Create it to run it elsewhere", DEFAULT_CONN_ID)
                return ClusterConnection(DEFAULT_CONN_ID)
            fix = f"create a connection with this id and the type {self.conn_type!r}"
            raise ConfigurationError(f"connection {self.spark_conn_id!r} does not exist: {fix}") from None
        if found.conn_type != self.conn_type:
            raise ConfigurationError(
                f"connection {self.spark_conn_id!r}: expected the type {self.conn_type!r}, got {found.conn_type!r}"
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
        return backend_entry(self.connection.backend).poll_interval

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

        return open_mounts(spec, self.backend)

    def test_connection(self) -> tuple[bool, str]:
        """What the Test button does: check every field, then ask the service for its live clusters."""
        try:
            spec, _ = self.open_mounts(self.cluster_spec({}))
            self.backend.plan_cluster(spec)
            found = self.backend.check() if isinstance(self.backend, ChecksItself) else None
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
