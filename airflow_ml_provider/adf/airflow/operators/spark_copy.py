"""A Copy that Spark does: what the job is asked, and what becomes of the files that it wrote.

What touches files is imported late: a DAG that is parsed copies nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call
from airflow_ml_provider.adf.airflow.operators.clusters import AdfSharedJobOperator
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.support.column_mappings import columns
from airflow_ml_provider.adf.support.file_formats import SPARK_FORMATS, read_options, suffix, write_options
from airflow_ml_provider.adf.support.spark_programs import Job
from airflow_ml_provider.core.lowering import RUNNERS

if TYPE_CHECKING:
    from airflow.sdk import Context

_SPARK = "dbfs:/mnt/"
_AVRO = "org.apache.spark:spark-avro_2.13"


def conversion(call: Call) -> Job:
    """The job of a Copy from one format to another: it writes into a folder beside the target, which :func:`settle` empties."""
    from airflow_ml_provider.adf.airflow.activities.copy import copy_behavior, ends_of, more_columns
    from airflow_ml_provider.adf.airflow.data.file_selection import SCHEME, select, store_settings

    source, sink, _ = ends_of(call)
    asked, sent = call("source", {}), call("sink", {})
    store, shape = store_settings(source, asked), pick(asked, "formatSettings") or {}
    made = pick(sent, "formatSettings") or {}
    chosen = select(source, store)
    if not chosen.files:
        raise ActivityFailed(f"activity {call.activity.name!r}: there is no file {source.path}", "2200")
    target = sink.path.removeprefix(SCHEME)
    folder = target.rpartition("/")[0] if sink.file_name else target
    behavior = copy_behavior(sent)
    scratch = f"{folder}/_adf_{_digest(call)}"
    request = {
        "read": {
            "format": SPARK_FORMATS[source.kind],
            "paths": [_SPARK + one for one in chosen.files],
            "options": read_options(source.kind, source.properties, shape),
        },
        "columns": [vars(one) for one in columns(call("translator"))],
        "more": more_columns(asked),
        "single": bool(sink.file_name) or behavior == "mergefiles",
        "write": {
            "format": SPARK_FORMATS[sink.kind],
            "path": _SPARK + scratch,
            "options": write_options(sink.kind, sink.properties, made),
        },
        "settle": {"scratch": scratch, "target": target, "file": bool(sink.file_name), "suffix": suffix(sink.kind, made)},
        "delete": list(chosen.files) if pick(store, "deleteFilesAfterCompletion") else [],
    }
    program = {"kind": "python_file", "path": str(Path(RUNNERS, "copy_tables.py")), "args": [json.dumps(request)]}
    return Job(program, _libraries(source.kind, sink.kind), {})


def settle(request: Mapping[str, Any]) -> int:
    """Move what the job wrote to where it belongs, and return how many files it is; safe to repeat."""
    from airflow_ml_provider.filesystems.mount import MountFileSystem

    filesystem, asked = MountFileSystem(), request["settle"]
    filesystem.invalidate_cache()
    if not filesystem.exists(asked["scratch"]):
        return 0
    names = sorted(one["name"] for one in filesystem.ls(asked["scratch"], detail=True) if one["type"] == "file")
    parts = [name for name in names if not name.rpartition("/")[2].startswith(("_", "."))]
    for number, part in enumerate(parts):
        filesystem.mv(part, asked["target"] if asked["file"] else f"{asked['target']}/part-{number:05}{asked['suffix']}")
    filesystem.rm(asked["scratch"], recursive=True)
    for path in request["delete"]:
        filesystem.rm(path)
    return len(parts)


class AdfConversionOperator(AdfSharedJobOperator):
    """The job of a Copy; its XCom is the activity's output."""

    def _finish(self, context: Context, *args: Any) -> Any:
        found = super()._finish(context, *args) or {}
        written = settle(json.loads(self.program["args"][0]))
        return {"rowsRead": found.get("rows"), "rowsCopied": found.get("rows"), "filesWritten": written}


def _digest(call: Call) -> str:
    ti = call.view.ti
    who = json.dumps([ti.dag_id, ti.run_id, ti.task_id, ti.map_index, *call.view.rounds, call.activity.name])
    return hashlib.sha256(who.encode()).hexdigest()[:12]


def _libraries(*kinds: str) -> list[dict[str, str]]:
    """Spark's own connector for Avro, which it does not bring along, of the Spark that is installed here."""
    if "avro" not in kinds:
        return []
    from importlib.metadata import PackageNotFoundError, version

    try:
        return [{"kind": "maven", "coordinates": f"{_AVRO}:{version('pyspark')}"}]
    except PackageNotFoundError:
        return [{"kind": "maven", "coordinates": f"{_AVRO}:4.2.0"}]
