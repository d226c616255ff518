"""GetMetadata: the facts of a file, a folder or a table."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call
from airflow_ml_provider.adf.airflow.activities.lookup import hook_of
from airflow_ml_provider.adf.airflow.data.dataset_places import Store, dataset_place
from airflow_ml_provider.adf.airflow.data.file_selection import SCHEME, in_time
from airflow_ml_provider.adf.airflow.data.row_files import arrow, of_files
from airflow_ml_provider.adf.airflow.data.sql_identifiers import quoted
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.filesystems.matching import modified_at
from airflow_ml_provider.filesystems.mount import MountFileSystem

Structure = list[dict[str, str]]
_TYPES = (("int", "Int64"), ("double", "Double"), ("float", "Single"), ("bool", "Boolean"), ("timestamp", "DateTime"))
_BLOCK = 8 << 20


def get_metadata(call: Call) -> Any:
    """The asked-for facts."""
    place = dataset_place(call, pick(call.activity.type_properties, "dataset"))
    wanted = [str(field) for field in call("fieldList", [])]
    known = _OF_FILES if place.is_file else _OF_TABLES
    if unknown := [field for field in wanted if field not in known]:
        raise SpecError(f"activity {call.activity.name!r}: fieldList: got {unknown[0]!r}: takes {', '.join(known)}")
    if not (_is_file_there(place) if place.is_file else _is_table_there(place)):
        if "exists" in wanted:
            return {"exists": False}
        raise ActivityFailed(f"activity {call.activity.name!r}: {place.name} does not exist", "2011")
    found = {field: known[field](place) for field in wanted if field not in ("childItems", "structure", "columnCount")}
    for field in wanted:
        if field == "childItems" and place.is_file:
            found[field] = _children(place, call("storeSettings", {}))
        elif field not in found:
            columns = _structure(place, call("formatSettings", {})) if place.is_file else _table_structure(place)
            found[field] = columns if field == "structure" else len(columns)
    return {field: found[field] for field in wanted}


def _path(place: Store) -> str:
    return place.path.removeprefix(SCHEME)


def _is_file_there(place: Store) -> bool:
    filesystem = MountFileSystem()
    filesystem.invalidate_cache()
    return bool(filesystem.exists(_path(place)))


def _is_table_there(place: Store) -> bool:
    """Whether the database has it: a database tells of a missing table by an error of its own."""
    hook = hook_of(place.conn_id)
    try:
        hook.get_records(_empty(hook, place))
    except Exception:  # noqa: BLE001  the second query tells a missing table from a missing database
        hook.get_records("SELECT 1")
        return False
    return True


def _empty(hook: Any, place: Store) -> str:
    if not place.table_parts:
        raise SpecError(f"dataset {place.name!r}: table: is required")
    return f"SELECT * FROM {quoted(hook, place.table_parts)} WHERE 1 = 0"  # noqa: S608  a quoted name


def _info(place: Store) -> dict[str, Any]:
    return dict(MountFileSystem().info(_path(place)))


def _item_type(place: Store) -> str:
    return "Folder" if _info(place)["type"] == "directory" else "File"


def _changed(place: Store) -> str | None:
    found = modified_at(_info(place))
    return None if found is None else datetime.fromtimestamp(found, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _children(place: Store, settings: Mapping[str, Any]) -> list[dict[str, str]]:
    """What lies in a folder; of its files, those that were changed in the times that are asked for."""
    listed = sorted(MountFileSystem().ls(_path(place), detail=True), key=lambda one: one["name"])
    found = [one for one in listed if one["type"] == "directory" or in_time(one, settings)]
    kinds = {True: "Folder", False: "File"}
    return [{"name": one["name"].rpartition("/")[2], "type": kinds[one["type"] == "directory"]} for one in found]


def _md5(place: Store) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with MountFileSystem().open(_path(place), "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return base64.b64encode(digest.digest()).decode()


def _structure(place: Store, settings: Mapping[str, Any]) -> Structure:
    """The columns of a file; those of text are texts."""
    if place.kind in ("parquet", "orc"):
        return [{"name": one.name, "type": _type(str(one.type))} for one in _schema(place)]
    first = next(islice(of_files(place, [_path(place)], settings), 1), {})
    return [{"name": name, "type": "String"} for name in first]


def _schema(place: Store) -> Any:
    with MountFileSystem().open(_path(place), "rb") as stream:
        if place.kind == "parquet":
            return arrow("parquet").read_schema(stream)
        return arrow("orc").ORCFile(stream).schema


def _type(name: str) -> str:
    return next((ours for theirs, ours in _TYPES if name.startswith(theirs)), "String")


def _table_structure(place: Store) -> Structure:
    hook = hook_of(place.conn_id)
    with closing(hook.get_conn()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(_empty(hook, place))
        return [
            {"name": column[0], "type": str(getattr(column[1], "__name__", column[1] or "String"))}
            for column in cursor.description
        ]


_OF_FILES: dict[str, Callable[[Store], Any]] = {
    "exists": lambda place: True,
    "itemName": lambda place: _path(place).rpartition("/")[2],
    "itemType": _item_type,
    "size": lambda place: _info(place).get("size"),
    "lastModified": _changed,
    "childItems": lambda place: _children(place, {}),
    "contentMD5": _md5,
    "structure": lambda place: _structure(place, {}),
    "columnCount": lambda place: len(_structure(place, {})),
}
_OF_TABLES: dict[str, Callable[[Store], Any]] = {
    "exists": lambda place: True,
    "structure": _table_structure,
    "columnCount": lambda place: len(_table_structure(place)),
}
