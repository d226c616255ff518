"""Which files of a mount match a pattern, many patterns by one listing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.utils import glob_translate

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.storage.faults import translated
from airflow_ml_provider.filesystems.mount import check_inside, escaped

_SHAPE = re.compile(r"mount://(?P<mount>[^/]+)/(?P<path>.+)")
_WILD = re.compile(r"[*?]")
_MODIFIED = ("mtime", "LastModified", "last_modified", "updated", "modified")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a mount.

    :param path: ``mount://<name>/…``.
    :param size: bytes.
    :param modified: seconds since the epoch; None where the store does not tell.
    """

    path: str
    size: int
    modified: float | None


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
    with translated(f"mount://{folder}"):
        infos = _listed(filesystem, folder, deep=deep)
    found = sorted(map(_file, infos), key=lambda file: file.path)
    return {pattern: _matching(found, pattern) for pattern in patterns}


def _listed(filesystem: AbstractFileSystem, folder: str, *, deep: bool) -> Iterable[Mapping[str, Any]]:
    try:
        if deep:
            return list(filesystem.find(folder, detail=True).values())
        return [info for info in filesystem.ls(folder, detail=True) if info["type"] == "file"]
    except FileNotFoundError:
        return []


def _matching(files: Iterable[File], pattern: str) -> list[File]:
    whole = re.compile(glob_translate(escaped(pattern)))
    return [file for file in files if whole.match(file.path)]


def _file(info: Mapping[str, Any]) -> File:
    return File(f"mount://{info['name']}", int(info.get("size") or 0), modified_at(info))


def modified_at(info: Mapping[str, Any]) -> float | None:
    """When a file was last changed, in seconds since the epoch, from whatever its store calls it."""
    value = next((info[key] for key in _MODIFIED if info.get(key)), None)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.timestamp() if isinstance(value, datetime) else value
