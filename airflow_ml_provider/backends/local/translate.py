"""Specs to plans, and recorded states to ours. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow_ml_provider.core.backend import Plan
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.mounts import FileReference, connectors
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Mount, PythonCode, PythonFile, memory_mib, merge
from airflow_ml_provider.core.state import ClusterState, JobState
from airflow_ml_provider.core.storage.base import local_path, split_source

OWN_CLASSES = "mounts"
"""What stands for our own classes among the connectors."""
FILE = "$file"
"""In a plan's properties: the key of a reference to one of the cluster's secret files."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OURS = "the local backend sets it"
_RESERVED_CONF: dict[str, str] = {
    "spark.authenticate": _OURS,
    "spark.authenticate.secret": _OURS,
    "spark.connect.authenticate.token": _OURS,
    "spark.connect.grpc.binding.address": _OURS,
    "spark.driver.bindAddress": _OURS,
    "spark.driver.host": _OURS,
    "spark.driver.extraLibraryPath": "set LD_LIBRARY_PATH in env",
    "spark.local.dir": _OURS,
    "spark.master": _OURS,
    "spark.master.rest.enabled": _OURS,
    "spark.remote": _OURS,
    "spark.submit.deployMode": _OURS,
}
_RESERVED_CLUSTER_CONF: dict[str, str] = {
    **_RESERVED_CONF,
    "spark.cores.max": "use workers and worker.cores",
    "spark.driver.cores": "use driver.cores",
    "spark.driver.memory": "use driver.memory",
    "spark.executor.cores": "use worker.cores",
    "spark.executor.instances": "use workers",
    "spark.executor.memory": "use worker.memory",
}
_RESERVED_ENV: dict[str, str] = dict.fromkeys(
    (
        *(JobSpec.RESULT_VARIABLE, "AIRFLOW_ML_JOB"),
        *("AIRFLOW_ML_MOUNTS", "JAVA_HOME", "PYSPARK_DRIVER_PYTHON", "PYSPARK_PYTHON"),
        *("SPARK_CONF_DIR", "SPARK_CONNECT_AUTHENTICATE_TOKEN", "SPARK_HOME", "SPARK_LOCAL_IP", "SPARK_REMOTE"),
    ),
    _OURS,
)
_STATIC_SQL = frozenset(
    f"spark.sql.{name}"
    for name in (
        *("catalogImplementation", "extensions", "warehouse.dir", "cache.serializer", "queryExecutionListeners"),
        *("filesourceTableRelationCacheSize", "globalTempDatabase", "legacy.sessionInitWithConfigDefaults"),
        *("sources.schemaStringLengthThreshold", "streaming.streamingQueryListeners", "streaming.ui.enabled"),
    )
)
_SESSION_ONLY = (
    'takes properties of a session ("spark.sql.…") under Spark Connect: '
    'set it in ClusterSpec.spark_conf, or declare the program with api="classic"'
)


def plan_cluster(spec: ClusterSpec) -> Plan:
    """The payload of ``create``: seconds, JVM sizes, and None for what this machine decides."""
    plan: Plan = {
        "name": spec.name,
        "driver_cores": spec.driver.cores,
        "driver_memory": spec.driver.memory,
        "workers": spec.workers,
        "worker_cores": spec.worker.cores or 1,
        "worker_memory": spec.worker.memory or "1g",
        "spark_conf": {key: _setting(value) for key, value in spec.spark_conf.items()},
        "env": dict(spec.env),
        "idle_timeout": _seconds(spec.idle_timeout),
        "max_lifetime": _seconds(spec.max_lifetime),
        "tags": dict(spec.tags),
        "libraries": [library.model_dump(mode="json") for library in spec.libraries],
        "connectors": _connectors([mount for mount in spec.mounts if isinstance(mount, Mount)]),
        "folders": [_folder(mount) for mount in spec.mounts if isinstance(mount, Mount) and mount.fuse],
        "python": None,
    }
    problems = [
        *_unknown("ClusterSpec", spec.native, plan),
        *_reserved("ClusterSpec.spark_conf", spec.spark_conf, _RESERVED_CLUSTER_CONF),
        *_reserved("ClusterSpec.env", spec.env, _RESERVED_ENV),
    ]
    if ids := [mount for mount in spec.mounts if isinstance(mount, str)]:
        problems.append(
            f"ClusterSpec.mounts: got {ids[0]!r}: the id of a connection is known to Airflow's hook only: give a Mount"
        )
    if not spec.workers and spec.worker.model_fields_set & {"cores", "memory"}:
        problems.append("ClusterSpec.worker: got a size, but workers=0: the driver does all the work, so set driver instead")
    if problems:
        raise SpecError(*problems)
    return merge(plan, spec.native)


def plan_job(spec: JobSpec) -> Plan:
    """The payload of ``submit``, of a job whose program is Python."""
    assert isinstance(spec.program, (PythonFile, PythonCode))
    plan: Plan = {
        "name": spec.name,
        "program": spec.program.model_dump(mode="json"),
        "spark_conf": dict(spec.spark_conf),
        "env": dict(spec.env),
        "files": list(spec.files),
        "libraries": [library.model_dump(mode="json") for library in spec.libraries],
        "timeout": _seconds(spec.timeout),
        "python": None,
    }
    problems = [
        *_unknown("JobSpec", spec.native, plan),
        *_reserved("JobSpec.spark_conf", spec.spark_conf, _RESERVED_CONF),
        *_reserved("JobSpec.env", spec.env, _RESERVED_ENV),
    ]
    if spec.program.api == "connect":
        problems += [f"JobSpec.spark_conf: got {key!r}: {_SESSION_ONLY}" for key in spec.spark_conf if not _of_session(key)]
    if problems:
        raise SpecError(*problems)
    return merge(plan, spec.native)


def memory_needed(plan: Plan) -> int:
    """MiB that the plan names for driver and workers."""
    driver = memory_mib(plan["driver_memory"]) if plan["driver_memory"] else 0
    return driver + int(plan["workers"]) * memory_mib(plan["worker_memory"])


def is_id(text: str) -> bool:
    """True for what may be an id of ours; anything else names no cluster and no job."""
    return _ID.fullmatch(text) is not None


def cluster_state(recorded: str) -> ClusterState:
    """Our state for a recorded one; ``UNKNOWN`` for that of another version."""
    return ClusterState(recorded) if recorded in ClusterState.__members__ else ClusterState.UNKNOWN


def job_state(recorded: str) -> JobState:
    """Our state for a recorded one; ``UNKNOWN`` for that of another version."""
    return JobState(recorded) if recorded in JobState.__members__ else JobState.UNKNOWN


def _connectors(mounts: Sequence[Mount]) -> list[str]:
    """The stores' connectors, and our own classes for what they alone do not: whole commits, and read-only mounts."""
    return [*connectors(mounts), OWN_CLASSES] if mounts else []


def _folder(mount: Mount) -> dict[str, Any]:
    """How programs get a mount as a folder: the ``path`` to link to, or None for one that rclone shows."""
    path = local_path(split_source(mount.source)) if mount.scheme == "file" and not mount.read_only else None
    return {"name": mount.name, "read_only": mount.read_only, "path": path}


def _setting(value: str) -> str | dict[str, str]:
    return {FILE: str(value)} if isinstance(value, FileReference) else value


def _of_session(key: str) -> bool:
    return key.startswith("spark.sql.") and key not in _STATIC_SQL


def _unknown(spec: str, native: Mapping[str, Any], plan: Plan) -> list[str]:
    return [f"{spec}.native: got {key!r}: takes {', '.join(plan)}" for key in native if key not in plan]


def _reserved(field: str, given: Iterable[str], reserved: Mapping[str, str]) -> list[str]:
    return [f"{field}: got {key!r}: {reserved[key]}" for key in given if key in reserved]


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()
