"""Storage that no login opens: HDFS, and folders of the machines themselves."""

from __future__ import annotations

from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.core.storage.base import Credentials, Opened, link, local_path, split_source, wrong_source

HDFS_SCHEMES = ("hdfs",)
FILE_SCHEMES = ("file",)


def open_hdfs(source: str, credentials: Credentials | None) -> Opened:
    """``hdfs://host:port/path``; the connection's login, of whatever type it is, names the user."""
    parts = split_source(source)
    if not parts.hostname:
        raise wrong_source(source, "hdfs://host:port/path")
    user = (credentials.login or None) if credentials is not None else None
    return Opened(
        link=link(f"hdfs://{parts.netloc}", parts.path),
        protocol="hdfs",
        path=parts.path or "/",
        options={"host": parts.hostname, **({"port": parts.port} if parts.port else {}), **({"user": user} if user else {})},
    )


def open_folder(source: str, credentials: Credentials | None) -> Opened:
    """``file:///path`` or an absolute path: the same folder on every machine of the cluster."""
    parts = split_source(source)
    path = local_path(parts)
    if credentials is not None:
        raise ConfigurationError(f"connection {credentials.conn_id!r}: the source {source!r} is a folder: leave out conn_id")
    if parts.netloc not in ("", "localhost") or not path.startswith("/"):
        raise wrong_source(source, "file:///path or an absolute path")
    path = path.rstrip("/") or "/"
    return Opened(link=link("file://", path), protocol="file", path=path)
