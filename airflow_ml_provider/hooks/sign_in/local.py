"""The local backend signs in to nothing: it takes a folder of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_ml_provider.core.caches import default_root

if TYPE_CHECKING:
    from airflow_ml_provider.hooks.connection import ClusterConnection


def sign_in(connection: ClusterConnection) -> dict[str, Any]:
    """The staging URI is the folder of the clusters' state.

    :raises ConfigurationError: it is no absolute folder.
    """
    return {"root": _folder(connection)}


def _folder(connection: ClusterConnection) -> Path:
    if not connection.staging_uri:
        return default_root()
    parts = urlsplit(connection.staging_uri)
    path = Path(unquote(parts.path)).expanduser()
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost") or not path.is_absolute():
        problem = f"expected an absolute folder, such as file:///var/lib/spark, got {connection.staging_uri!r}"
        raise connection.wrong("staging_uri", problem)
    return path
