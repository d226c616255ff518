"""Assets that lie in a mount: ``mount://raw/flights``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from airflow.sdk import Asset

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset


def create_asset(*, mount: str, path: str, extra: dict[str, Any] | None = None) -> Asset:
    """The asset at a path of a mount."""
    return Asset(uri=f"mount://{mount}/{path.strip('/')}", extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """The one form of a URI; :class:`ValueError` when it names no mount or holds a secret's place."""
    if not uri.netloc:
        raise ValueError(f"got {uri.geturl()!r}: takes mount://<name>/<path>")
    if "@" in uri.netloc or ":" in uri.netloc:
        raise ValueError(f"got {uri.hostname!r} with a login or a port: takes mount://<name>/<path>")
    path = "/".join(part for part in uri.path.split("/") if part)
    return uri._replace(path=f"/{path}" if path else "", query="", fragment="")


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """OpenLineage's dataset of an asset: the mount is its namespace."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(asset.uri)
    return Dataset(namespace=f"mount://{parts.netloc}", name=parts.path.lstrip("/") or "/")
