"""Specs to payloads of EMR Serverless, and its states to ours. Pure."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from airflow_ml_provider.backends.aws import libraries, mounts
from airflow_ml_provider.backends.aws.jobs import (
    RUNNER,
    STAGED_KEY,
    check_job,
    conf_arguments,
    minutes,
    staged_cluster,
    staged_job,
)
from airflow_ml_provider.backends.aws.releases import has_sessions, python_of, release_label
from airflow_ml_provider.backends.aws.sessions import NAME
from airflow_ml_provider.backends.aws.tags import encoded
from airflow_ml_provider.core.backend import Plan
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Node, memory_mib, merge
from airflow_ml_provider.core.staging import job_folder, literal
from airflow_ml_provider.core.state import ClusterState, JobState

CLUSTER_STATES = {
    "CREATING": ClusterState.PENDING,
    "CREATED": ClusterState.RUNNING,  # a job starts it
    "STARTING": ClusterState.RUNNING,
    "STARTED": ClusterState.RUNNING,
    "STOPPING": ClusterState.TERMINATING,
    "STOPPED": ClusterState.TERMINATED,
    "TERMINATED": ClusterState.TERMINATED,
}
JOB_STATES = {
    "SUBMITTED": JobState.PENDING,
    "PENDING": JobState.PENDING,
    "SCHEDULED": JobState.PENDING,
    "QUEUED": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "SUCCESS": JobState.SUCCEEDED,
    "FAILED": JobState.FAILED,
    "CANCELLING": JobState.RUNNING,
    "CANCELLED": JobState.CANCELLED,
}
LIVE = ["CREATING", "CREATED", "STARTING", "STARTED"]
LIVE_JOBS = ["SUBMITTED", "PENDING", "SCHEDULED", "QUEUED", "RUNNING"]
ROLE = "executionRoleArn"
_ROLE_MISSING = (
    f"ClusterSpec.native.{ROLE}: is required: the role that jobs run as. Set it in the connection's defaults: "
    f'{{"native": {{"{ROLE}": "arn:aws:iam::111122223333:role/name"}}}}'
)
_UNBOUNDED = (
    "ClusterSpec.workers: 0 is no single machine on EMR Serverless: a job gets as many executors as it asks for, up to the account's "
    "quota. Set max_workers to bound them"
)
log = logging.getLogger(__name__)
_LONGEST_IDLE = 10080
_SHORTEST_RUN, _LONGEST_RUN = 5, 10080
_FIELDS = {
    "spark.driver.memory": "use driver.memory",
    "spark.driver.cores": "use driver.cores",
    "spark.executor.memory": "use worker.memory",
    "spark.executor.cores": "use worker.cores",
    "spark.master": "the service sets it",
    "spark.submit.deployMode": "the service sets it",
}


class Size(NamedTuple):
    """A worker that the service has: its cores, and the GB of memory that they come with."""

    cores: int
    least: int
    most: int
    step: int


_SIZES = (Size(1, 2, 8, 1), Size(2, 4, 16, 1), Size(4, 8, 30, 1), Size(8, 16, 60, 4), Size(16, 32, 120, 8))
_DEFAULT = Node(cores=4, memory="14g")
_OVERHEAD = 1.1


def plan_cluster(spec: ClusterSpec) -> Plan:
    """The payload of ``CreateApplication``, :data:`ROLE`, which each ``StartJobRun`` gets, and what the staging area gets."""
    label = str(spec.native.get("releaseLabel") or release_label(spec.spark_version))
    problems = [*_problems(spec), *mounts.problems(spec, label)]
    if problems:
        raise SpecError(*problems)
    if not spec.workers and spec.max_workers is None:
        log.info("%s", _UNBOUNDED)
    plan: Plan = {
        "name": spec.name,
        "releaseLabel": label,
        "type": "SPARK",
        "architecture": "X86_64",
        "autoStartConfiguration": {"enabled": True},
        "autoStopConfiguration": _auto_stop(spec),
        "tags": encoded(spec.tags),
        STAGED_KEY: _staged(spec, label),
        **({"interactiveConfiguration": {"sessionEnabled": True}} if has_sessions(label, "emr-serverless") else {}),
        **_capacity(spec),
    }
    if properties := _properties(spec):
        plan["runtimeConfiguration"] = [{"classification": "spark-defaults", "properties": properties}]
    return merge(plan, literal(spec.native))


def plan_job(spec: JobSpec) -> Plan:
    """The payload of ``StartJobRun`` but for who runs it where, and what its folder in the staging area gets."""
    check_job(spec)
    if _time_limit(spec) > _LONGEST_RUN:
        raise SpecError(f"JobSpec.timeout: got {spec.timeout}: EMR Serverless takes less than 7 days")
    if spec.timeout is None:
        log.info("JobSpec.timeout: None is 7 days on EMR Serverless, which takes no run without a limit")
    submit: Plan = {"entryPoint": job_folder(RUNNER), "entryPointArguments": [job_folder()]}
    if spec.spark_conf:
        submit["sparkSubmitParameters"] = " ".join(_quoted(part) for part in conf_arguments(spec.spark_conf))
    plan: Plan = {
        "name": spec.name,
        "jobDriver": {"sparkSubmit": submit},
        "executionTimeoutMinutes": _time_limit(spec),
        STAGED_KEY: staged_job(spec),
    }
    return merge(plan, literal(spec.native))


def repeats(plan: Plan) -> bool:
    """Whether the service runs a job again when an attempt at it fails: ``native`` asks for it."""
    return plan.get("mode") == "STREAMING" or "retryPolicy" in plan


def plan_session(role: str, idle_minutes: int | None, properties: Mapping[str, str], tags: Mapping[str, str]) -> Plan:
    """The payload of ``StartSession`` but for where, and its client token.

    :param idle_minutes: without a client, after which it ends: an application with a session is never idle. None as the service has it.
    """
    plan: Plan = {"name": NAME, ROLE: role, "tags": dict(tags)}
    if idle_minutes:
        plan["idleTimeoutMinutes"] = idle_minutes
    if properties:
        defaults = {"classification": "spark-defaults", "properties": dict(properties)}
        plan["configurationOverrides"] = {"runtimeConfiguration": [defaults]}
    return plan


def cluster_state(native: str) -> ClusterState:
    """Our state for one of an application's."""
    return CLUSTER_STATES.get(native, ClusterState.UNKNOWN)


def job_state(native: str) -> JobState:
    """Our state for one of a job run's."""
    return JOB_STATES.get(native, JobState.UNKNOWN)


def _time_limit(spec: JobSpec) -> int:
    """Minutes after which the service ends the run, which its runner has then failed to: never more than the service takes.

    Since 7.11.0 it takes no run without a limit (source: its guide's page "EMR Serverless 7.11.0").
    """
    if spec.timeout is None:
        return _LONGEST_RUN
    return max(_SHORTEST_RUN, minutes(spec.timeout.total_seconds()) + 1)


def _problems(spec: ClusterSpec) -> Iterator[str]:
    if not str(spec.native.get(ROLE, "")).startswith("arn:"):
        yield _ROLE_MISSING
    for key in spec.spark_conf:
        if key in _FIELDS:
            yield f"ClusterSpec.spark_conf: got {key!r}: {_FIELDS[key]}"
    if spec.idle_timeout and minutes(spec.idle_timeout.total_seconds()) > _LONGEST_IDLE:
        yield f"ClusterSpec.idle_timeout: got {spec.idle_timeout}: EMR Serverless takes at most 7 days"


def _staged(spec: ClusterSpec, label: str) -> Plan:
    return staged_cluster(
        spec,
        files=libraries.jars(spec.libraries),
        packages=libraries.packages(spec.libraries),
        python=python_of(label),
        machine="aarch64" if spec.native.get("architecture") == "ARM64" else "x86_64",
    )


def _auto_stop(spec: ClusterSpec) -> Plan:
    if spec.idle_timeout is None:
        return {"enabled": False}
    return {"enabled": True, "idleTimeoutMinutes": minutes(spec.idle_timeout.total_seconds())}


def _capacity(spec: ClusterSpec) -> Plan:
    """Workers that stand ready while the application runs, and the most that it may grow to."""
    driver, worker = _worker(spec.driver, "driver"), _worker(spec.worker, "worker")
    capacity: Plan = {}
    if spec.workers:
        ready = {"Driver": (1, driver), "Executor": (spec.workers, worker)}
        capacity["initialCapacity"] = {
            kind: {"workerCount": count, "workerConfiguration": {"cpu": f"{cores} vCPU", "memory": f"{memory} GB"}}
            for kind, (count, (cores, memory)) in ready.items()
        }
    if most := spec.max_workers:
        cores, memory = (driver[part] + most * worker[part] for part in (0, 1))
        capacity["maximumCapacity"] = {"cpu": f"{cores} vCPU", "memory": f"{memory} GB"}
    return capacity


def _worker(node: Node, role: str) -> tuple[int, int]:
    """The cores and GB of the smallest worker that has room for a node."""
    needed = math.ceil(memory_mib(node.memory or _DEFAULT.memory or "") * _OVERHEAD / 1024)
    cores = node.cores or (_DEFAULT.cores if node.memory is None else 1) or 1
    for size in _SIZES:
        if size.cores >= cores and size.most >= needed:
            steps = math.ceil((max(needed, size.least) - size.least) / size.step)
            return size.cores, size.least + steps * size.step
    raise SpecError(
        f"ClusterSpec.{role}: got cores={node.cores}, memory={node.memory}: EMR Serverless has 16 cores and 120 GB at most"
    )


def _properties(spec: ClusterSpec) -> Plan:
    sizes: dict[str, Any] = {
        "spark.driver.cores": spec.driver.cores and _worker(spec.driver, "driver")[0],
        "spark.driver.memory": spec.driver.memory,
        "spark.executor.cores": spec.worker.cores and _worker(spec.worker, "worker")[0],
        "spark.executor.memory": spec.worker.memory,
        "spark.executor.instances": spec.workers,
        "spark.dynamicAllocation.maxExecutors": spec.max_workers,
    }
    env = {
        f"spark.{who}.{name}": value for who in ("emr-serverless.driverEnv", "executorEnv") for name, value in spec.env.items()
    }
    known = {key: str(value) for key, value in sizes.items() if value}
    return {**known, **env, **libraries.properties(spec.libraries), **mounts.properties(spec)}


def _quoted(text: str) -> str:
    """One word for the service, which splits at spaces outside quotes."""
    if not any(mark in text for mark in " \t\n\"'\\"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
