"""Activities on files: Copy, Delete, GetMetadata and Validation, on the mounts of the linked services."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.reading import pick
from airflow_ml_provider.core.errors import ConfigurationError, SpecError
from airflow_ml_provider.operators.adf.calls import ActivityFailed, Call
from airflow_ml_provider.operators.adf.places import Store, dataset_place
from airflow_ml_provider.operators.adf.tables import hook_of, rows_of

_SCHEME = "mount://"
_LONGEST = 7 * 24 * 3600.0
_BINARY = "binary"


def copy(call: Call) -> Any:
    """Files to files of the same format, byte for byte; rows of a database to another table. Anything between is refused."""
    activity = call.activity
    if not activity.inputs or not activity.outputs:
        raise SpecError(f"activity {activity.name!r}: inputs, outputs: takes a dataset each")
    source, sink = dataset_place(call, activity.inputs[0]), dataset_place(call, activity.outputs[0])
    if source.is_file and sink.is_file:
        return _files(call, source, sink)
    if not source.is_file and not sink.is_file:
        return _rows(call, source, sink)
    fix = "register an operator for Copy, or load with a Spark program"
    raise ConfigurationError(f"activity {activity.name!r}: a Copy between {source.kind} and {sink.kind} does not run here: {fix}")


def _files(call: Call, source: Store, sink: Store) -> dict[str, Any]:
    from airflow_ml_provider.filesystems.copying import Copier
    from airflow_ml_provider.filesystems.mount import MountFileSystem

    if source.kind != sink.kind and _BINARY not in (source.kind, sink.kind):
        fix = "give both datasets one format, or convert with a Spark program"
        raise ConfigurationError(f"activity {call.activity.name!r}: from {source.kind} to {sink.kind} does not run here: {fix}")
    copier = Copier(MountFileSystem(), True, True, 8)
    done = list(copier.copy(source.path.removeprefix(_SCHEME), sink.path.removeprefix(_SCHEME)))
    size = sum(one.size for one in done)
    return {"filesRead": len(done), "filesWritten": len(done), "dataRead": size, "dataWritten": size}


def _rows(call: Call, source: Store, sink: Store) -> dict[str, Any]:
    rows = rows_of(call, source, call("source", {}))
    hook = hook_of(sink.conn_id)
    if not sink.table:
        raise SpecError(f"dataset {sink.name!r}: table: is required for a Copy to it")
    if before := pick(call("sink", {}), "preCopyScript"):
        hook.run(str(before), autocommit=True)
    if rows:
        hook.insert_rows(sink.table, [list(row.values()) for row in rows], target_fields=list(rows[0]))
    return {"rowsRead": len(rows), "rowsCopied": len(rows)}


def delete(call: Call) -> Any:
    """Delete a file, or a folder's files; nothing happens when it is not there."""
    place = dataset_place(call, pick(call.activity.type_properties, "dataset"))
    path = _object(place)
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else []
    for one in files:
        one.unlink()
    return {"filesDeleted": len(files)}


def get_metadata(call: Call) -> Any:
    """The asked-for facts of a file or a folder."""
    place = dataset_place(call, pick(call.activity.type_properties, "dataset"))
    path = _object(place)
    wanted = [str(field) for field in call("fieldList", [])]
    if not path.exists():
        if "exists" in wanted:
            return {"exists": False}
        raise ActivityFailed(f"activity {call.activity.name!r}: {place.path} does not exist", "2011")
    unknown = [field for field in wanted if field not in _FACTS]
    if unknown:
        raise SpecError(f"activity {call.activity.name!r}: fieldList: got {unknown[0]!r}: takes {', '.join(_FACTS)}")
    return {field: _FACTS[field](path) for field in wanted}


def validation(call: Call) -> Any:
    """Wait until a file is there, and large enough; or a folder is, with or without files."""
    place = dataset_place(call, pick(call.activity.type_properties, "dataset"))
    deadline = time.monotonic() + (seconds_of(call("timeout")) or _LONGEST)
    while not _is_valid(call, _object(place)):
        if time.monotonic() > deadline:
            raise ActivityFailed(f"activity {call.activity.name!r}: {place.path} did not come in time", "2013")
        time.sleep(min(float(call("sleep", 10)), max(0.0, deadline - time.monotonic()) + 0.1))
    return {"exists": True}


def _is_valid(call: Call, path: Any) -> bool:
    if path.is_dir():
        wanted = call("childItems")
        return wanted is None or any(path.iterdir()) is bool(wanted)
    return bool(path.is_file() and path.stat().st_size >= int(call("minimumSize", 0)))


def _object(place: Store) -> Any:
    from airflow.sdk import ObjectStoragePath

    return ObjectStoragePath(place.path)


def _changed(path: Any) -> str:
    return datetime.fromtimestamp(float(path.stat().st_mtime), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _children(path: Any) -> list[dict[str, str]]:
    return [{"name": one.name, "type": "Folder" if one.is_dir() else "File"} for one in sorted(path.iterdir(), key=str)]


_FACTS = {
    "exists": lambda path: True,
    "itemName": lambda path: path.name,
    "itemType": lambda path: "Folder" if path.is_dir() else "File",
    "size": lambda path: path.stat().st_size,
    "lastModified": _changed,
    "childItems": _children,
}
