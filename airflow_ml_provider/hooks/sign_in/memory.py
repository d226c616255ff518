"""The memory backend has nobody to sign in to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ml_provider.hooks.connection import ClusterConnection


def sign_in(connection: ClusterConnection) -> dict[str, Any]:
    """The staging URI is the name of the service in this process."""
    return {"service": connection.staging_uri or "default"}
