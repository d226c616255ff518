"""Which files of a mount match a pattern, many patterns by one listing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem
from fsspec.utils import glob_translate

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.storage.faults import translated
from airflow_ml_provider.filesystems.mount import check_inside, escaped

_SHAPE = re.compile(r"mount://(?P<mount>[^/]+)/(?P<path>.+)")
_WILD = re.compile(r"[*?]")
_MODIFIED = ("mtime", "LastModified", "last_modified", "updated", "modified")


class File(NamedTuple):
    """A file of a mount.

    :param path: ``mount://<name>/…``.
    :param size: bytes.
    :param modified: seconds since the epoch; None where the store does not tell.
    """

    path: str
    size: int
    modified: float | None


Row = tuple[str, int, float | None]
"""The fields of :class:`File`. Of plain tuples the garbage collector takes no notice: half a million others stop every thread for a third of
a second at each of its rounds."""


def check_pattern(pattern: str) -> str:
    """The pattern; :class:`SpecError` when it leads into no mount."""
    if not _SHAPE.fullmatch(pattern):
        raise SpecError(f"path: got {pattern!r}: takes mount://<name>/<path>, in which *, ? and ** stand for names")
    return check_inside(pattern)


def folder_of(pattern: str) -> str:
    """The deepest folder that every match lies in, as the filesystem calls it: ``raw/flights``."""
    *folders, _ = pattern.removeprefix("mount://").split("/")
    plain = next((index for index, part in enumerate(folders) if _WILD.search(part)), len(folders))
    return "/".join(folders[:plain])


def matches(filesystem: AbstractFileSystem, folder: str, patterns: Collection[str]) -> dict[str, list[File]]:
    """The files that match each pattern, sorted by path: one fresh listing of the folder serves all.

    :raises Unavailable: a passing fault of the store.
    :raises AccessDenied: the connection may not list the folder.
    """
    deep = any("/" in pattern.removeprefix(f"mount://{folder}/") for pattern in patterns)
    found = listed(filesystem, folder, deep=deep)
    return {pattern: sorted(_matching(found, pattern)) for pattern in patterns}


def listed(filesystem: AbstractFileSystem, folder: str, *, deep: bool = True) -> list[Row]:
    """The files of a folder, and with ``deep`` those of the folders in it. None where there is no such folder. Otherwise as :func:`matches`."""
    with translated(f"mount://{folder}"):
        return [_row(info) for info in _infos(filesystem, folder, deep=deep)]


def _infos(filesystem: AbstractFileSystem, folder: str, *, deep: bool) -> Iterable[Mapping[str, Any]]:
    try:
        if deep:
            return list(filesystem.find(folder, detail=True).values())
        return [info for info in filesystem.ls(folder, detail=True) if info["type"] == "file"]
    except FileNotFoundError:
        return []


def _matching(rows: Iterable[Row], pattern: str) -> list[File]:
    whole = re.compile(glob_translate(escaped(pattern)))
    return [File(*row) for row in rows if whole.match(row[0])]


def _row(info: Mapping[str, Any]) -> Row:
    return (f"mount://{info['name']}", int(info.get("size") or 0), modified_at(info))


def modified_at(info: Mapping[str, Any]) -> float | None:
    """When a file was last changed, in seconds since the epoch, from whatever its store calls it."""
    value = next((info[key] for key in _MODIFIED if info.get(key)), None)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.timestamp() if isinstance(value, datetime) else value
