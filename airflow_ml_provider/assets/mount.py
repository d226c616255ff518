"""Assets that lie in a mount: ``mount://raw/flights``. ``?`` and ``#`` are parts of names, and escaped in the URI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from airflow.sdk import Asset

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset


def create_asset(*, mount: str, path: str, extra: dict[str, Any] | None = None) -> Asset:
    """The asset at a path of a mount. The path is as the store has it."""
    return Asset(uri=f"mount://{mount}/{_escaped(path.strip('/'))}", extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """The one form of a URI; :class:`ValueError` when it names no mount or holds a secret's place."""
    if not uri.netloc:
        raise ValueError(f"got {uri.geturl()!r}: takes mount://<name>/<path>")
    if "@" in uri.netloc or ":" in uri.netloc:
        raise ValueError(f"got {uri.hostname!r} with a login or a port: takes mount://<name>/<path>")
    rest = f"?{uri.query}" * bool(uri.query) + f"#{uri.fragment}" * bool(uri.fragment)
    path = "/".join(part for part in (uri.path + _escaped(rest)).split("/") if part)
    return uri._replace(path=f"/{path}" if path else "", query="", fragment="")


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """OpenLineage's dataset of an asset: the mount is its namespace."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(asset.uri)
    return Dataset(namespace=f"mount://{parts.netloc}", name=_plain(parts.path.lstrip("/")) or "/")


def _escaped(path: str) -> str:
    """A path of a store in a URI, where ``?`` and ``#`` would end it."""
    return path.replace("?", "%3F").replace("#", "%23")


def _plain(path: str) -> str:
    return path.replace("%3F", "?").replace("%23", "#")
