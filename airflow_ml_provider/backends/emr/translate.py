"""Specs to payloads of EMR, and EMR's states to ours. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from airflow_ml_provider.backends.aws import libraries, mounts
from airflow_ml_provider.backends.aws.jobs import RUNNER, STAGED_KEY, check_job, conf_arguments, staged_cluster, staged_job
from airflow_ml_provider.backends.aws.machines import architecture, instance_types
from airflow_ml_provider.backends.aws.releases import has_sessions, python_of, release_label
from airflow_ml_provider.backends.aws.sessions import NAME
from airflow_ml_provider.backends.aws.tags import encoded
from airflow_ml_provider.backends.emr.gpus import GPU_CONFIGURATIONS, gpu_properties
from airflow_ml_provider.core.backend import Plan
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Node, merge
from airflow_ml_provider.core.staging import job_folder, literal, staged
from airflow_ml_provider.core.state import ClusterState, JobState

CLUSTER_STATES = {
    "STARTING": ClusterState.PENDING,
    "BOOTSTRAPPING": ClusterState.PENDING,
    "RUNNING": ClusterState.RUNNING,
    "WAITING": ClusterState.RUNNING,
    "TERMINATING": ClusterState.TERMINATING,
    "TERMINATED": ClusterState.TERMINATED,
    "TERMINATED_WITH_ERRORS": ClusterState.FAILED,
}
JOB_STATES = {
    "PENDING": JobState.PENDING,
    "CANCEL_PENDING": JobState.RUNNING,
    "RUNNING": JobState.RUNNING,
    "COMPLETED": JobState.SUCCEEDED,
    "CANCELLED": JobState.CANCELLED,
    "FAILED": JobState.FAILED,
    "INTERRUPTED": JobState.CANCELLED,
}
LIVE = ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"]
LIFETIME_TAG = "max_lifetime"
"""The tag that tells the seconds after which a cluster ends itself."""
_IDLE = (60, 7 * 24 * 3600)
_STEPS_AT_ONCE = 10
_SPOT_PATIENCE = 10
"""Minutes until on-demand machines stand in for spot ones."""
_LISTS = {"Tags": "Key", "Configurations": "Classification", "BootstrapActions": "Name"}
"""Lists of named items, to which ``native`` adds by name."""
_ROLES = {"ServiceRole": "EMR_DefaultRole_V2", "JobFlowRole": "EMR_EC2_DefaultRole"}
_FIELDS = {
    "spark.driver.memory": "use driver.memory",
    "spark.driver.cores": "use driver.cores",
    "spark.executor.memory": "use worker.memory",
    "spark.executor.cores": "use worker.cores",
    "spark.master": "EMR sets it",
    "spark.submit.deployMode": "the driver runs on the primary node, where EMR keeps its log",
}


def plan_cluster(spec: ClusterSpec) -> Plan:
    """The payload of ``RunJobFlow``, with references to the cluster's folder: :func:`~airflow_ml_provider.core.staging.staged`."""
    label = str(spec.native.get("ReleaseLabel") or release_label(spec.spark_version))
    problems = [*_reserved(spec), *_idle_problems(spec), *mounts.problems(spec, label), *_gpu_problems(spec, label)]
    if problems:
        raise SpecError(*problems)
    plan: Plan = {
        "Name": spec.name,
        "ReleaseLabel": label,
        "Applications": [{"Name": "Spark"}],
        "Instances": {**_machines(spec), "KeepJobFlowAliveWhenNoSteps": True, "TerminationProtected": False},
        "Configurations": _configurations(spec),
        "BootstrapActions": _bootstrap(spec, label),
        STAGED_KEY: _staged(spec, label),
        "StepConcurrencyLevel": _STEPS_AT_ONCE,
        "Tags": [{"Key": key, "Value": value} for key, value in encoded({**spec.tags, **_lifetime_tag(spec)}).items()],
        "VisibleToAllUsers": True,
        **_ROLES,
        **_scaling(spec),
        **({"SessionEnabled": True} if has_sessions(label, "emr") else {}),
    }
    if spec.idle_timeout:
        plan["AutoTerminationPolicy"] = {"IdleTimeout": max(_IDLE[0], int(_seconds(spec.idle_timeout)))}
    return _with_native(plan, literal(spec.native))


def plan_job(spec: JobSpec) -> Plan:
    """A step for ``AddJobFlowSteps``, and what its folder in the staging area gets."""
    check_job(spec)
    submit = ["spark-submit", "--name", spec.name, "--deploy-mode", "client", *conf_arguments(spec.spark_conf)]
    plan: Plan = {
        "Name": spec.name,
        "ActionOnFailure": "CONTINUE",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": [*submit, job_folder(RUNNER), job_folder()]},
        STAGED_KEY: staged_job(spec),
    }
    return merge(plan, literal(spec.native))


def plan_session(log_uri: str, idle_minutes: int | None, properties: Mapping[str, str], tags: Mapping[str, str]) -> Plan:
    """The payload of ``StartSession`` but for where, and its client token.

    :param idle_minutes: without a client, after which it ends: a cluster with a session is never idle. None as EMR has it.
    """
    plan: Plan = {
        "Name": NAME,
        "MonitoringConfiguration": {"S3LoggingConfiguration": {"Enabled": True, "LogUri": log_uri}},
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    if idle_minutes:
        plan["SessionIdleTimeoutInMinutes"] = idle_minutes
    if properties:
        plan["EngineConfigurations"] = [{"Classification": "spark-defaults", "Properties": dict(properties)}]
    return plan


def cluster_state(native: str) -> ClusterState:
    """Our state for one of EMR's."""
    return CLUSTER_STATES.get(native, ClusterState.UNKNOWN)


def job_state(native: str) -> JobState:
    """Our state for one of a step's."""
    return JOB_STATES.get(native, JobState.UNKNOWN)


def _machines(spec: ClusterSpec) -> Plan:
    """Groups of equal machines; fleets where machines may be of several types, or spot with on-demand ones to stand in."""
    groups = [("MASTER", "driver", spec.driver, 1)]
    if count := max(spec.workers, int(spec.max_workers is not None)):
        groups.append(("CORE", "worker", spec.worker, count))
    types = {role: instance_types(node, role) for _, role, node, _ in groups}
    if any(node.spot or len(types[role]) > 1 for _, role, node, _ in groups):
        return {"InstanceFleets": [_fleet(kind, node, types[role], count) for kind, role, node, count in groups]}
    return {
        "InstanceGroups": [
            {"Name": role, "InstanceRole": kind, "InstanceType": types[role][0], "InstanceCount": count, "Market": "ON_DEMAND"}
            for kind, role, _, count in groups
        ]
    }


def _fleet(kind: str, node: Node, types: list[str], count: int) -> Plan:
    fleet: Plan = {
        "Name": "driver" if kind == "MASTER" else "worker",
        "InstanceFleetType": kind,
        "TargetSpotCapacity" if node.spot else "TargetOnDemandCapacity": count,
        "InstanceTypeConfigs": [{"InstanceType": name, "WeightedCapacity": 1} for name in types],
    }
    if node.spot:
        spot = {
            "TimeoutDurationMinutes": _SPOT_PATIENCE,
            "TimeoutAction": "SWITCH_TO_ON_DEMAND",
            "AllocationStrategy": "price-capacity-optimized",
        }
        fleet["LaunchSpecifications"] = {"SpotSpecification": spot}
    return fleet


def _scaling(spec: ClusterSpec) -> Plan:
    if spec.max_workers is None:
        return {}
    fleets = "InstanceFleets" in _machines(spec)
    least = max(spec.workers, 1)
    limits = {
        "UnitType": "InstanceFleetUnits" if fleets else "Instances",
        "MinimumCapacityUnits": least,
        "MaximumCapacityUnits": spec.max_workers,
        "MaximumCoreCapacityUnits": least if spec.worker.spot else spec.max_workers,
    }
    return {"ManagedScalingPolicy": {"ComputeLimits": limits}}


def _configurations(spec: ClusterSpec) -> list[Plan]:
    gpus = spec.worker.gpus if spec.workers or spec.max_workers else spec.driver.gpus
    properties = {
        **_sizes(spec),
        **libraries.properties(spec.libraries),
        **(gpu_properties(gpus) if gpus else {}),
        **{f"spark.executorEnv.{name}": value for name, value in spec.env.items()},
        **mounts.properties(spec),
    }
    found: list[Plan] = [{"Classification": "spark-defaults", "Properties": properties}] if properties else []
    if spec.env:
        export = {"Classification": "export", "Properties": dict(spec.env)}
        found.append({"Classification": "spark-env", "Properties": {}, "Configurations": [export]})
    return [*found, *(GPU_CONFIGURATIONS if gpus else ())]


def _sizes(spec: ClusterSpec) -> dict[str, str]:
    workers = spec.workers or spec.max_workers
    sizes = {
        "spark.driver.cores": spec.driver.cores,
        "spark.driver.memory": spec.driver.memory,
        "spark.executor.cores": spec.worker.cores if workers else None,
        "spark.executor.memory": spec.worker.memory if workers else None,
    }
    return {key: str(value) for key, value in sizes.items() if value}


def _staged(spec: ClusterSpec, label: str) -> Plan:
    nodes = {"driver": spec.driver, "worker": spec.worker}
    return staged_cluster(
        spec,
        files=libraries.files(spec.libraries),
        packages=(),
        python=python_of(label),
        machine=architecture(name for role, node in nodes.items() for name in instance_types(node, role)),
    )


def _bootstrap(spec: ClusterSpec, label: str) -> list[Plan]:
    args: list[Any] = ["--lifetime", _seconds(spec.max_lifetime)] if spec.max_lifetime else []
    if spec.driver.gpus or spec.worker.gpus:
        args.append("--gpus")
    if packages := libraries.arguments(spec.libraries):
        args += ["--python", python_of(label), *packages]
    script = {"Path": staged("bootstrap_emr.sh"), "Args": args}
    return [{"Name": "airflow-ml-provider", "ScriptBootstrapAction": script}] if args else []


def _reserved(spec: ClusterSpec) -> Iterable[str]:
    for key in spec.spark_conf:
        if key in _FIELDS:
            yield f"ClusterSpec.spark_conf: got {key!r}: {_FIELDS[key]}"
    if not spec.workers and not spec.max_workers and spec.worker != Node():
        yield "ClusterSpec.worker: is set, but workers=0: the driver's machine does all the work, so set driver instead"


def _idle_problems(spec: ClusterSpec) -> Iterable[str]:
    if spec.idle_timeout and spec.idle_timeout.total_seconds() > _IDLE[1]:
        yield f"ClusterSpec.idle_timeout: got {spec.idle_timeout}: EMR takes at most 7 days"


def _gpu_problems(spec: ClusterSpec, label: str) -> Iterable[str]:
    if (spec.driver.gpus or spec.worker.gpus) and label.startswith(("emr-5.", "emr-6.")):
        yield f"ClusterSpec.worker.gpus: got the release {label}: takes emr-7.0.0 or later, whose machines are told otherwise"


def _with_native(plan: Plan, native: Mapping[str, Any]) -> Plan:
    merged = merge(plan, native)
    for name, key in _LISTS.items():
        if name in native:
            merged[name] = _added(plan[name], native[name], key)
    given = native.get("Instances", {})
    for ours, theirs in (("InstanceGroups", "InstanceFleets"), ("InstanceFleets", "InstanceGroups")):
        if theirs in given:
            merged["Instances"].pop(ours, None)
    return merged


def _added(ours: list[Plan], theirs: list[Plan], key: str) -> list[Plan]:
    """Both lists; of two items with one name the second, with the first's properties under its own."""
    items = {item.get(key): item for item in ours}
    for item in theirs:
        items[item.get(key)] = merge(items.get(item.get(key), {}), item)
    return list(items.values())


def _lifetime_tag(spec: ClusterSpec) -> dict[str, str]:
    return {LIFETIME_TAG: _seconds(spec.max_lifetime)} if spec.max_lifetime else {}


def _seconds(limit: timedelta) -> str:
    """Whole ones, at least as long: EMR counts in no smaller unit."""
    return str(math.ceil(limit.total_seconds()))
