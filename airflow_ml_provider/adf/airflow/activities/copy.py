"""Copy: files as they are, and rows between files, tables and services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call
from airflow_ml_provider.adf.airflow.activities.lookup import hook_of, rows_of
from airflow_ml_provider.adf.airflow.activity_facts import now
from airflow_ml_provider.adf.airflow.data.copy_output import copy_output
from airflow_ml_provider.adf.airflow.data.dataset_places import Store, dataset_of, dataset_place
from airflow_ml_provider.adf.airflow.data.fault_tolerance import copy_files
from airflow_ml_provider.adf.airflow.data.file_selection import SCHEME, Selection, select, store_settings
from airflow_ml_provider.adf.airflow.data.http_file import download
from airflow_ml_provider.adf.airflow.data.rest_source import rows_of_rest
from airflow_ml_provider.adf.airflow.data.row_columns import Row
from airflow_ml_provider.adf.airflow.data.row_files import of_files, shaped, to_file
from airflow_ml_provider.adf.airflow.data.session_log import log_copy
from airflow_ml_provider.adf.airflow.data.table_writer import load
from airflow_ml_provider.adf.airflow.data.zip_files import is_packed, unpack
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.support.column_mappings import columns
from airflow_ml_provider.adf.support.datasets import BINARY, REST, Way, by_rows, way
from airflow_ml_provider.adf.support.file_formats import suffix
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.filesystems.copying import Copier
from airflow_ml_provider.filesystems.mount import MountFileSystem

_HIERARCHIES = ("", "preservehierarchy", "flattenhierarchy")


def ends_of(call: Call) -> tuple[Store, Store, Way]:
    """The source and the sink of a Copy, and the way from one to the other."""
    activity = call.activity
    if not activity.inputs or not activity.outputs:
        raise SpecError(f"activity {activity.name!r}: inputs, outputs: takes a dataset each")
    one, other = activity.inputs[0], activity.outputs[0]
    found = way(activity, dataset_of(call, one), dataset_of(call, other))
    return dataset_place(call, one), dataset_place(call, other), found


def copy(call: Call) -> Any:
    """Files as they are, or rows between files and tables. What Spark converts has tasks of its own, but in a loop that is one task:
    there, rows are converted one by one.
    """
    began, kinds = now(), ("", "")
    try:
        source, sink, found = ends_of(call)
        kinds = (source.kind, sink.kind)
        return copy_output(_copied(call, source, sink, found), began, *kinds)
    except Exception as error:
        vars(error)["output"] = copy_output({}, began, *kinds, error=error)  # the operator's record of the failure takes it
        raise


def _copied(call: Call, source: Store, sink: Store, found: Way) -> dict[str, Any]:
    if found is Way.BYTES:
        return _files(call, source, sink)
    if found is Way.DOWNLOAD:
        return dict(download(call, source, sink))
    if found is Way.ROWS or by_rows(source.kind, sink.kind):
        return _rows(call, source, sink)
    from airflow_ml_provider.adf.airflow.operators.inner_spark import convert

    return dict(convert(call) or {})


def _files(call: Call, source: Store, sink: Store) -> dict[str, Any]:
    settings = store_settings(source, call("source", {}))
    chosen = select(source, settings)
    if not chosen.files:
        raise ActivityFailed(f"activity {call.activity.name!r}: there is no file {source.path}", "2200")
    if source.kind == BINARY and is_packed(source, sink):
        return unpack(call, chosen, sink)
    copier = Copier(MountFileSystem(), True, True, 8)
    done, skipped = copy_files(copier, _targets(call, chosen, sink), call("skipErrorFile", {}))
    if pick(settings, "deleteFilesAfterCompletion"):
        for file in chosen.files:
            if file not in skipped:
                copier.filesystem.rm(file)
    size = sum(one.size for one in done)
    output = {"filesRead": len(done), "filesWritten": len(done), "dataRead": size, "dataWritten": size}
    written = log_copy(call, [file for file in chosen.files if file not in skipped], skipped)
    return {**output, **({"filesSkipped": len(skipped)} if skipped else {}), **({"logFilePath": written} if written else {})}


def copy_behavior(sink: Mapping[str, Any]) -> str:
    """``copyBehavior`` in lower case: of ``storeSettings``, or in older exports of the sink itself."""
    return str(pick(pick(sink, "storeSettings") or {}, "copyBehavior") or pick(sink, "copyBehavior") or "").casefold()


def _targets(call: Call, chosen: Selection, sink: Store) -> dict[str, str]:
    """The copy's path for each file: the sink's file, or below the sink's folder as the files lie below theirs."""
    behavior = copy_behavior(call("sink", {}))
    if behavior not in _HIERARCHIES:
        fix = "takes PreserveHierarchy or FlattenHierarchy for files that are copied as they are"
        raise SpecError(f"activity {call.activity.name!r}: copyBehavior: got {behavior!r}: {fix}")
    target = sink.path.removeprefix(SCHEME)
    if sink.file_name and len(chosen.files) == 1:
        return {chosen.files[0]: target}
    if sink.file_name:
        raise SpecError(f"dataset {sink.name!r}: fileName: got {len(chosen.files)} files for one: leave it out")
    flat = behavior == "flattenhierarchy"
    return {one: f"{target}/{one.rpartition('/')[2] if flat else one[len(chosen.base) :].lstrip('/')}" for one in chosen.files}


def _rows(call: Call, source: Store, sink: Store) -> dict[str, Any]:
    asked, sent = call("source", {}), call("sink", {})
    mapped, more = columns(call("translator"), collected=source.kind == REST), more_columns(asked)
    nested = source.kind in ("json", REST)
    rows = shaped(_read(call, source, asked), mapped, more, nested=nested)
    known = [*[one.sink for one in mapped], *more] if mapped else source.columns if nested else ()
    if sink.is_file:
        settings = pick(sent, "formatSettings") or {}
        name = "" if sink.file_name else f"/{call.activity.name}{suffix(sink.kind, settings)}"
        count = to_file(sink, sink.path.removeprefix(SCHEME) + name, rows, settings, known)
    else:
        count = load(hook_of(sink.conn_id), sink, rows, sent, known)
    return {"rowsRead": count, "rowsCopied": count}


def _read(call: Call, source: Store, asked: Mapping[str, Any]) -> Any:
    if source.kind == REST:
        return rows_of_rest(call, source, asked)
    if not source.is_file:
        return rows_of(call, source, asked)
    chosen = select(source, store_settings(source, asked))
    if not chosen.files:
        raise ActivityFailed(f"activity {call.activity.name!r}: there is no file {source.path}", "2200")
    return of_files(source, chosen.files, pick(asked, "formatSettings") or {})


def more_columns(asked: Mapping[str, Any]) -> Row:
    """``additionalColumns`` with one value each; :class:`SpecError` for those that are computed."""
    found = {str(pick(one, "name")): pick(one, "value") for one in pick(asked, "additionalColumns") or ()}
    if computed := [value for value in found.values() if str(value).startswith("$$")]:
        raise SpecError(f"source.additionalColumns: got {computed[0]!r}: takes a value")
    return found
