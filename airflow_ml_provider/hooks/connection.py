"""The fields of a ``spark_cluster`` connection, and how its extra field is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.core.registry import backend_entry

_FIELDS = ("backend", "credentials_conn_id", "staging_uri", "defaults")


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


def parse_connection(conn_id: str, extra: str | None) -> ClusterConnection:
    """Read a connection's extra field.

    :param extra: a JSON object, as Airflow keeps it.
    :raises ConfigurationError: names the field that is wrong and what is expected there.
    """
    fields = {name: value for name, value in _json_object(conn_id, "extra", extra).items() if value not in (None, "")}
    if unknown := sorted(set(fields) - set(_FIELDS)):
        raise ConfigurationError(
            f"connection {conn_id!r}, extra: expected the fields {', '.join(_FIELDS)}, got the field {unknown[0]!r}"
        )
    fields["defaults"] = _json_object(conn_id, "extra field 'defaults'", fields.get("defaults"))
    connection = ClusterConnection(conn_id, **fields)
    for name in _FIELDS[:-1]:
        value = getattr(connection, name)
        if value is not None and not isinstance(value, str):
            raise connection.wrong(name, f"expected text, got {type(value).__name__}")
    try:
        backend_entry(connection.backend)
    except ConfigurationError as error:
        raise connection.wrong("backend", str(error).removeprefix("backend: ")) from error
    return connection


def _json_object(conn_id: str, where: str, value: Any) -> dict[str, Any]:
    try:
        found = json.loads(value or "{}") if value is None or isinstance(value, str) else value
    except ValueError as error:
        raise ConfigurationError(f"connection {conn_id!r}, {where}: expected JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"connection {conn_id!r}, {where}: expected a JSON object, got {type(found).__name__}")
    return found
