"""Archives that a Copy unpacks on its way."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from typing import Any

from airflow_ml_provider.adf.airflow.activities.control import Call
from airflow_ml_provider.adf.airflow.data.dataset_places import Store
from airflow_ml_provider.adf.airflow.data.file_selection import SCHEME, Selection
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.filesystems.mount import MountFileSystem

_ZIP = "zipdeflate"
_BLOCK = 8 << 20


def is_packed(source: Store, sink: Store) -> bool:
    """Whether the files are ZIP archives that are to be unpacked; :class:`SpecError` for other archives."""
    one, other = _compression(source), _compression(sink)
    if one == other:
        return False
    if one == _ZIP and not other:
        return True
    raise SpecError(
        f"dataset {source.name!r}: compression: from {one or 'none'!r} to {other or 'none'!r}: takes ZipDeflate to none"
    )


def unpack(call: Call, chosen: Selection, sink: Store) -> dict[str, Any]:
    """Every file of the archives, below a folder with the archive's name unless the settings say not to keep it."""
    settings = pick(pick(call("source", {}), "formatSettings") or {}, "compressionProperties") or {}
    keeps = pick(settings, "preserveZipFileNameAsFolder")
    filesystem, target = MountFileSystem(), sink.path.removeprefix(SCHEME)
    written = size = 0
    for archive in chosen.files:
        folder = f"{target}/{archive.rpartition('/')[2].removesuffix('.zip')}" if keeps is None or keeps else target
        with filesystem.open(archive, "rb") as raw, zipfile.ZipFile(raw) as opened:
            for member in opened.infolist():
                if not member.is_dir():
                    _write(filesystem, opened, member, f"{folder}/{_inside(member)}")
                    written, size = written + 1, size + member.file_size
    read = sum(filesystem.size(archive) for archive in chosen.files)
    return {"filesRead": len(chosen.files), "filesWritten": written, "dataRead": read, "dataWritten": size}


def _write(filesystem: MountFileSystem, opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: str) -> None:
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    with opened.open(member) as read, filesystem.open(path, "wb") as write:
        shutil.copyfileobj(read, write, _BLOCK)


def _inside(member: zipfile.ZipInfo) -> str:
    """The path in the archive, which never leads out of the folder."""
    parts = [part for part in member.filename.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(parts)


def _compression(place: Store) -> str:
    raw: Any = pick(place.properties, "compression") or pick(place.properties, "compressionCodec")
    found = str((pick(raw, "type") if isinstance(raw, Mapping) else raw) or "").casefold()
    return "" if found == "none" else found
