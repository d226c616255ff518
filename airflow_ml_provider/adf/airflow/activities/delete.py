"""Delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import Call
from airflow_ml_provider.adf.airflow.data.dataset_places import Store, dataset_place
from airflow_ml_provider.adf.airflow.data.file_selection import SCHEME, select
from airflow_ml_provider.adf.airflow.data.session_log import log_delete
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.filesystems.mount import MountFileSystem


def delete(call: Call) -> Any:
    """Delete a file, or what its settings choose in a folder; a folder with all that is in it goes itself."""
    place = dataset_place(call, pick(call.activity.type_properties, "dataset"))
    settings = call("storeSettings", {})
    chosen, filesystem = select(place, settings, recursive=bool(call("recursive", False))), MountFileSystem()
    for one in chosen.files:
        filesystem.rm(one)
    _forget_empty(place, settings, filesystem)
    written = log_delete(call, chosen.files)
    return {"filesDeleted": len(chosen.files), **({"logPath": written} if written else {})}


def _forget_empty(place: Store, settings: Mapping[str, Any], filesystem: MountFileSystem) -> None:
    """Remove a folder of a file system that is empty now; object storage has none."""
    path = place.path.removeprefix(SCHEME)
    wild = pick(settings, "wildcardFileName") or pick(settings, "wildcardFolderPath")
    filesystem.invalidate_cache()
    if "/" in path and not wild and filesystem.isdir(path) and not filesystem.find(path):
        filesystem.rm(path, recursive=True)
