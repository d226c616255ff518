"""Archives that a Copy unpacks on its way."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import Call
from airflow_ml_provider.adf.airflow.data.dataset_places import Store
from airflow_ml_provider.adf.airflow.data.file_selection import SCHEME, Selection
from airflow_ml_provider.adf.airflow.data.size_limits import Counted, blocks, whole_file
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
    written, size = Counted("the archives", "adf_max_zip_entries"), Counted("the unpacked files", "adf_max_file_mib")
    for archive in chosen.files:
        folder = f"{target}/{archive.rpartition('/')[2].removesuffix('.zip')}" if keeps is None or keeps else target
        with filesystem.open(archive, "rb") as raw, zipfile.ZipFile(raw) as opened:
            for member in opened.infolist():
                if not member.is_dir():
                    written.add(1)
                    _write(filesystem, opened, member, f"{folder}/{_inside(member)}", size)
    read = sum(filesystem.size(archive) for archive in chosen.files)
    return {"filesRead": len(chosen.files), "filesWritten": written.count, "dataRead": read, "dataWritten": size.count}


def _write(filesystem: MountFileSystem, opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: str, size: Counted) -> None:
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    with opened.open(member) as read, whole_file(filesystem, path) as write:
        for block in blocks(iter(lambda: read.read(_BLOCK), b""), size):
            write.write(block)


def _inside(member: zipfile.ZipInfo) -> str:
    """The path in the archive, which never leads out of the folder."""
    parts = [part for part in member.filename.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(parts)


def _compression(place: Store) -> str:
    raw: Any = pick(place.properties, "compression") or pick(place.properties, "compressionCodec")
    found = str((pick(raw, "type") if isinstance(raw, Mapping) else raw) or "").casefold()
    return "" if found == "none" else found
