"""Which files of a dataset an activity is about: its wildcards, its depth, and when the files were changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_ml_provider.adf.airflow.data.dataset_places import Store
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.filesystems.matching import modified_at
from airflow_ml_provider.filesystems.mount import MountFileSystem

SCHEME = "mount://"
_OLD = ("recursive", "modifiedDatetimeStart", "modifiedDatetimeEnd")


@dataclass(frozen=True)
class Selection:
    """The files, sorted by path, and the folder that their relative paths start at; both without the scheme."""

    base: str
    files: tuple[str, ...]


def select(place: Store, settings: Mapping[str, Any], *, recursive: bool = True) -> Selection:
    """The files of a dataset that ``storeSettings`` choose.

    :param recursive: what it is where the settings do not say.
    :raises SpecError: they ask for a time that cannot be read, or that the store does not tell.
    """
    filesystem = MountFileSystem()
    filesystem.invalidate_cache()
    folder, name = str(pick(settings, "wildcardFolderPath") or ""), str(pick(settings, "wildcardFileName") or "")
    path = place.path.removeprefix(SCHEME)
    if not folder and not name and filesystem.isfile(path):
        return Selection(path.rpartition("/")[0], (path,))
    deep = pick(settings, "recursive")
    root = place.root.removeprefix(SCHEME) if folder or pick(settings, "prefix") else path
    found = _below(filesystem, root)
    chosen = [
        one for one in found if _matches(one[len(root) + 1 :], folder, name, deep=recursive if deep is None else bool(deep))
    ]
    prefix = str(pick(settings, "prefix") or "")
    kept = [one for one in chosen if one[len(root) + 1 :].startswith(prefix) and in_time(found[one], settings)]
    return Selection(_fixed(root, folder), tuple(sorted(kept)))


def store_settings(place: Store, source: Any) -> dict[str, Any]:
    """What chooses files of a dataset: ``storeSettings``, or in older exports the source's own properties and the dataset's."""
    old = {key: found for bag in (place.properties, source or {}) for key in _OLD if (found := pick(bag, key)) is not None}
    if pattern := pick(place.properties, "fileFilter"):
        old["wildcardFileName"] = pattern
    return {**old, **(pick(source or {}, "storeSettings") or {})}


def _below(filesystem: MountFileSystem, root: str) -> dict[str, dict[str, Any]]:
    try:
        return {name: info for name, info in filesystem.find(root, detail=True).items() if info["type"] == "file"}
    except FileNotFoundError:
        return {}


def _matches(path: str, folder: str, name: str, *, deep: bool) -> bool:
    """Whether a path below the root is in a folder that is asked for, or deeper where that is allowed, and has such a name."""
    parts, wanted = path.split("/")[:-1], [part for part in folder.split("/") if part]
    if len(parts) < len(wanted) or (not deep and len(parts) > len(wanted)):
        return False
    fits = all(_like(part, pattern) for part, pattern in zip(parts, wanted, strict=False))
    return fits and (not name or _like(path.rpartition("/")[2], name))


def _like(text: str, pattern: str) -> bool:
    """By Data Factory's wildcards: ``*`` and ``?``."""
    made = "".join({"*": ".*", "?": "."}.get(mark, re.escape(mark)) for mark in pattern)
    return re.fullmatch(made, text) is not None


def _fixed(root: str, folder: str) -> str:
    """The deepest folder above every match."""
    parts = folder.strip("/").split("/") if folder.strip("/") else []
    plain = next((index for index, part in enumerate(parts) if "*" in part or "?" in part), len(parts))
    return "/".join([root, *parts[:plain]])


def in_time(info: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether the last change lies in the times that are asked for: from the first, before the second."""
    first, second = (_seconds(pick(settings, key)) for key in ("modifiedDatetimeStart", "modifiedDatetimeEnd"))
    if first is None and second is None:
        return True
    changed = modified_at(info)
    if changed is None:
        raise SpecError("storeSettings.modifiedDatetimeStart: the store does not tell when files were changed: leave it out")
    return (first is None or changed >= first) and (second is None or changed < second)


def _seconds(raw: Any) -> float | None:
    if not raw:
        return None
    try:
        found = datetime.fromisoformat(str(raw))
    except ValueError:
        raise SpecError(f"storeSettings.modifiedDatetimeStart: got {raw!r}: takes a time such as 2024-05-01T00:00:00Z") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
