"""The logs that Copy and Delete write into a store where their settings ask for it: a line for each file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import Call
from airflow_ml_provider.adf.airflow.data.dataset_places import connection_of
from airflow_ml_provider.adf.airflow.run_ids import guid
from airflow_ml_provider.adf.fields import pick, read_reference
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.filesystems.mount import MountFileSystem

Line = Sequence[str]
_OF_COPY = ("Timestamp", "Level", "OperationName", "OperationItem", "Message")
_COPIED = "Complete writing file from source file:"
_OF_DELETE = ("Name", "Category", "Status", "Error")


def log_copy(call: Call, copied: Iterable[str], skipped: Mapping[str, str]) -> str:
    """Write the session log of a Copy of files, and return its path; empty where ``logSettings`` ask for none.

    :param skipped: the reason by file.
    """
    settings = call("logSettings", {})
    if not pick(settings, "enableCopyActivityLog"):
        return ""
    level = str(pick(pick(settings, "copyActivityLogSettings") or {}, "logLevel") or "Warning").casefold()
    lines = [(_now(), "Warning", "FileSkip", path, f"File is skipped: {reason}") for path, reason in skipped.items()]
    if level == "info":
        lines += [(_now(), "Info", "FileWrite", path, f"{_COPIED} {path}. File is successfully copied.") for path in copied]
    return _write(call, pick(settings, "logLocationSettings"), "copyactivity-logs", _OF_COPY, lines)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def log_delete(call: Call, deleted: Iterable[str]) -> str:
    """Write the log of a Delete, and return its path; empty where ``enableLogging`` is off."""
    if not call("enableLogging", False):
        return ""
    lines = [(path, "File", "Deleted", "") for path in deleted]
    return _write(call, call("logStorageSettings"), "deleteactivity-logs", _OF_DELETE, lines)


def _write(call: Call, location: Any, folder: str, header: Line, lines: Iterable[Line]) -> str:
    service = read_reference(pick(location or {}, "linkedServiceName"))
    if service is None:
        raise SpecError(f"activity {call.activity.name!r}: the settings of its log name no linked service")
    run_id = call.view.activity_run_id(call.activity)
    parts = [connection_of(call, service), str(pick(location, "path") or "").strip("/"), folder, call.activity.name, run_id]
    path = "/".join([*filter(None, parts), f"{guid(run_id, 'log')}.txt"])
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([header, *lines])
    filesystem = MountFileSystem()
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    filesystem.pipe_file(path, text.getvalue().encode())
    return path
