"""A Copy whose source is a file behind HTTP."""

from __future__ import annotations

from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call
from airflow_ml_provider.adf.airflow.data.dataset_places import Store
from airflow_ml_provider.adf.airflow.data.file_selection import SCHEME
from airflow_ml_provider.adf.airflow.data.http_requests import stream_of
from airflow_ml_provider.adf.airflow.data.size_limits import Counted, answer_of, blocks, whole_file
from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.filesystems.mount import MountFileSystem

_TEN_MINUTES = 600.0
_BLOCK = 1 << 20


def download(call: Call, source: Store, sink: Store) -> dict[str, Any]:
    """Fetch the file from the server of the linked service's connection."""
    settings = pick(call("source", {}), "storeSettings") or {}
    place = pick(source.properties, "location")
    path = str(pick(place, "relativeUrl") or "")
    method = str(pick(settings, "requestMethod") or "GET").upper()
    timeout = seconds_of(pick(settings, "requestTimeout")) or _TEN_MINUTES
    body = pick(settings, "requestBody")
    name = "" if sink.file_name else f"/{path.partition('?')[0].rpartition('/')[2] or 'download'}"
    target, filesystem = sink.path.removeprefix(SCHEME) + name, MountFileSystem()
    filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
    counted = Counted(f"the file {path!r} of connection {source.conn_id!r}", "adf_max_file_mib")
    with stream_of(method, source.conn_id, path, headers=headers_of(settings), body=body, timeout=timeout) as answer:
        if not answer.ok:
            told = answer_of(answer).decode(errors="replace")
            raise ActivityFailed(f"{method} was answered {answer.status_code}: {told[:500]}", str(answer.status_code))
        with whole_file(filesystem, target) as write:
            for block in blocks(answer.iter_content(_BLOCK), counted):
                write.write(block)
    return {"filesRead": 1, "filesWritten": 1, "dataRead": counted.count, "dataWritten": counted.count}


def headers_of(settings: Any) -> dict[str, str]:
    """Of ``additionalHeaders``: an object, or a ``name: value`` a line."""
    found = pick(settings, "additionalHeaders") or {}
    if isinstance(found, str):
        pairs = (line.partition(":") for line in found.splitlines() if line.strip())
        return {name.strip(): value.strip() for name, _, value in pairs}
    return {str(name): str(value) for name, value in found.items()}
