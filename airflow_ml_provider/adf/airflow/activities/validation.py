"""Validation: waits for a file or a folder."""

from __future__ import annotations

import time
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call
from airflow_ml_provider.adf.airflow.data.dataset_places import Store, dataset_place
from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.fields import pick

_LONGEST = 7 * 24 * 3600.0


def validation(call: Call) -> Any:
    """Wait until a file is there, and large enough; or a folder is, with or without files."""
    place = dataset_place(call, pick(call.activity.type_properties, "dataset"))
    deadline = call.once("deadline", lambda: time.time() + (seconds_of(call("timeout")) or _LONGEST))
    while not _is_valid(call, _object(place)):
        if time.time() > deadline:
            raise ActivityFailed(f"activity {call.activity.name!r}: {place.path} did not come in time", "2013")
        call.pause(call.once("next look", lambda: min(time.time() + float(call("sleep", 10)), deadline + 0.1)))
        call.forget("next look")
    return {"exists": True}


def _is_valid(call: Call, path: Any) -> bool:
    if path.is_dir():
        wanted = call("childItems")
        return wanted is None or any(path.iterdir()) is bool(wanted)
    return bool(path.is_file() and path.stat().st_size >= int(call("minimumSize", 0)))


def _object(place: Store) -> Any:
    from airflow.sdk import ObjectStoragePath

    return ObjectStoragePath(place.path)
