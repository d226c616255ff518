"""The clusters that Spark activities ask for, in their linked services, pools and settings, as fields of a ``ClusterSpec``.

What only Azure's own service has a meaning for is left to the connection that makes the cluster here: addresses and sign-in, the
runtime's version, policies and instance pools. What would change what a program does, and has no meaning here, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.errors import ExpressionError
from airflow_ml_provider.adf.expressions.properties import expressions, resolve
from airflow_ml_provider.adf.fields import bag as bag_of
from airflow_ml_provider.adf.fields import pick, read_reference
from airflow_ml_provider.adf.model import Activity, Factory, Json, Reference, Resource
from airflow_ml_provider.adf.support.connection_variants import conn_id_of, connection_id, static_arguments
from airflow_ml_provider.core.errors import SpecError

Fields = dict[str, Any]
_SYNAPSE = frozenset({"synapsenotebook", "sparkjob"})
_SIZES = {"small": (4, "28g"), "medium": (8, "56g"), "large": (16, "112g"), "xlarge": (32, "224g"), "xxlarge": (64, "400g")}
"""Cores and memory that a Synapse session gives Spark, by the size's name."""
_NODES = {
    "spark.driver.cores": ("driver", "cores"),
    "spark.driver.memory": ("driver", "memory"),
    "spark.executor.cores": ("worker", "cores"),
    "spark.executor.memory": ("worker", "memory"),
}
_COUNTS = {
    "spark.executor.instances": "workers",
    "spark.dynamicAllocation.minExecutors": "workers",
    "spark.dynamicAllocation.maxExecutors": "max_workers",
}
_OF_DATABRICKS = re.compile(r"spark\.databricks\.|spark\.master$")
_SINGLE_NODE = "spark.databricks.cluster.profile"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Wanted:
    """A cluster that an activity asks for.

    :param fields: of its :class:`~airflow_ml_provider.core.spec.ClusterSpec`.
    :param service: the linked service or pool, whose name may be the id of a connection; empty without one.
    :param shared: the cluster outlives the activity, and serves others of the same service until it was idle for too long.
    :param share: what tells a shared cluster from others, where that is not the service.
    :param of_run: a shared cluster serves one run of the pipeline, which ends it.
    :param conn_id: of the connection for the service with the activity's arguments; empty where they change nothing.
    """

    fields: Fields
    service: str = ""
    shared: bool = False
    share: str = ""
    of_run: bool = False
    conn_id: str = ""


def cluster(activity: Activity, factory: Factory, near: PurePath | None = None) -> Wanted:
    """The cluster that a Spark activity runs on.

    :raises SpecError: a setting has no meaning here, is an expression, or is no number.
    """
    conn_id = _connection(activity, factory, near)
    if task := activity.task:
        shared = bool(task.share)
        return Wanted(dict(task.cluster), task.service, shared, task.share, of_run=shared and not task.lasting, conn_id=conn_id)
    if activity.type.casefold() in _SYNAPSE:
        return _of_pool(activity, factory, near)
    reference = activity.linked_service
    service = factory.linked_service(reference.name, near) if reference else None
    if reference is None or service is None:
        return Wanted({}, reference.name if reference else "")
    found = _of_service(_with_arguments(service, reference))
    return replace(found, conn_id=conn_id, share=conn_id if found.shared else "")


def _of_service(service: Resource) -> Wanted:
    kind = service.type.casefold()
    if kind == "hdinsightondemand":
        return _on_demand(service)
    if kind == "hdinsight" or _is_there_already(service):
        return Wanted({"name": name_of(service.name)}, service.name, shared=True)
    return Wanted(_job_cluster(service.type_properties, f"linked service {service.name!r}"), service.name)


def _connection(activity: Activity, factory: Factory, near: PurePath | None) -> str:
    """The connection for the linked service with the activity's arguments; empty where they change nothing."""
    reference = activity.linked_service
    if reference is None or not reference.parameters:
        return ""
    values = static_arguments(reference.parameters)
    if values is None:
        text = next(expressions(dict(reference.parameters)))
        fix = "takes a value, as the cluster is planned before the run"
        raise SpecError(f"linked service {reference.name!r}: parameters: got the expression {text!r}: {fix}")
    found = connection_id(reference.name, factory.linked_service(reference.name, near), values)
    return found if found != conn_id_of(reference.name) else ""


def _with_arguments(service: Resource, reference: Reference) -> Resource:
    """The linked service with its parameters' values in the properties that need nothing else."""
    declared = bag_of(service.properties, "parameters")
    defaults = {name: pick(one, "defaultValue") for name, one in declared.items() if isinstance(one, Mapping)}
    state = {"linkedService": {**defaults, **(static_arguments(reference.parameters) or {})}}
    properties = {name: _known(value, state) for name, value in service.type_properties.items()}
    return replace(service, properties={**service.properties, "typeProperties": properties})


def _known(value: Json, state: Mapping[str, Json]) -> Json:
    try:
        return resolve(value, state)
    except ExpressionError:
        return value


def name_of(service: str) -> str:
    """A cluster's name for a linked service or a pool."""
    return _NOT_IN_NAMES.sub("-", service).strip("-_.")[:63] or "spark"


def _is_there_already(service: Resource) -> bool:
    return "existingClusterId" in service.type_properties


def databricks_fields(new: Mapping[str, Json], where: str) -> Fields:
    """``new_cluster`` of Databricks' Jobs API.

    :raises SpecError: a field has no meaning here.
    """
    asked = {name: value for name, value in new.items() if value not in (None, [], {}, "")}
    if unknown := sorted(asked.keys() - _NEW.keys() - _LEFT - {"autoscale", "is_single_node"}):
        raise SpecError(
            f"{where}: {unknown[0]}: does not run here: take it out, or give the cluster's fields in adf_dags(clusters=…)"
        )
    if "{{" in str(asked):
        raise SpecError(f"{where}: got a reference in {{{{…}}}}: takes values: hand secrets on by a connection")
    scale = asked.pop("autoscale", None)
    if scale is not None and not isinstance(scale, Mapping):
        raise SpecError(f"{where}: autoscale: got {type(scale).__name__}: takes an object")
    if scale:
        asked["num_workers"] = f"{scale.get('min_workers')}:{scale.get('max_workers')}"
    if asked.pop("is_single_node", None):
        asked["num_workers"] = 0
    return _job_cluster({_NEW[name]: value for name, value in asked.items() if name in _NEW}, where)


_NEW = {
    "num_workers": "newClusterNumOfWorker",
    "node_type_id": "newClusterNodeType",
    "driver_node_type_id": "newClusterDriverNodeType",
    "spark_conf": "newClusterSparkConf",
    "spark_env_vars": "newClusterSparkEnvVars",
    "custom_tags": "newClusterCustomTags",
    "init_scripts": "newClusterInitScripts",
}
_LEFT = frozenset(
    [
        *("spark_version", "runtime_engine", "use_ml_runtime", "kind", "data_security_mode", "single_user_name", "cluster_name"),
        *("policy_id", "apply_policy_default_values", "instance_pool_id", "driver_instance_pool_id", "cluster_log_conf"),
        *("azure_attributes", "aws_attributes", "gcp_attributes", "enable_elastic_disk", "enable_local_disk_encryption"),
        *("ssh_public_keys", "workload_type", "autotermination_minutes"),
    ]
)
"""What is left to the connection: the runtime, policies and pools, the cloud's own settings, sign-in."""


def _job_cluster(bag: Mapping[str, Json], where: str) -> Fields:
    """``newCluster*`` of Databricks."""
    if pick(bag, "newClusterInitScripts"):
        raise SpecError(
            f"{where}: newClusterInitScripts: does not run here: install what it does with libraries, or in the image"
        )
    low, _, high = str(_plain(where, bag, "newClusterNumOfWorker") or 0).partition(":")
    found: Fields = {"workers": _number(where, "newClusterNumOfWorker", low)}
    if high:
        found["max_workers"] = _number(where, "newClusterNumOfWorker", high)
    for field, key in (("worker", "newClusterNodeType"), ("driver", "newClusterDriverNodeType")):
        if node := _plain(where, bag, key):
            found[field] = {"instance_type": str(node)}
    if env := _pairs(where, bag, "newClusterSparkEnvVars"):
        found["env"] = {name: value for name, value in env.items() if not value.startswith("/databricks/")}
    if tags := _pairs(where, bag, "newClusterCustomTags"):
        found["tags"] = tags
    return _sized(where, found, _pairs(where, bag, "newClusterSparkConf"))


def _on_demand(service: Resource) -> Wanted:
    """HDInsight on demand: a cluster that lives on after a job for ``timeToLive``, in which other jobs find it."""
    bag, where = service.type_properties, f"linked service {service.name!r}"
    found: Fields = {"workers": _number(where, "clusterSize", _plain(where, bag, "clusterSize") or 1)}
    if pick(bag, "scriptActions"):
        raise SpecError(f"{where}: scriptActions: do not run here: install what they do with libraries")
    for field, key in (("driver", "headNodeSize"), ("worker", "dataNodeSize")):
        if isinstance(node := _plain(where, bag, key), str):
            found[field] = {"instance_type": node}
    found = _sized(where, found, _pairs(where, bag, "sparkConfiguration"))
    window = seconds_of(_plain(where, bag, "timeToLive"))
    if window:
        return Wanted({**found, "name": name_of(service.name), "idle_timeout": str(int(window))}, service.name, shared=True)
    return Wanted(found, service.name)


def _of_pool(activity: Activity, factory: Factory, near: PurePath | None) -> Wanted:
    """A session on a Synapse pool: the pool's settings, the Spark job definition's, then the activity's own."""
    bag, where = activity.type_properties, f"activity {activity.name!r}"
    definition = definition_of(activity, factory, near)
    job = bag_of(definition.properties, "jobProperties") if definition else {}
    asked = pick(bag, "sparkPool") or pick(bag, "targetBigDataPool")
    reference = read_reference(asked) or (
        read_reference(pick(definition.properties, "targetBigDataPool")) if definition else None
    )
    name = reference.name if reference and not list(expressions(reference.name)) else ""
    pool = factory.named("bigDataPools", name, near) if name else None
    found = _pool_fields(pool) if pool else {}
    for field, cores, memory in (("driver", "driverCores", "driverMemory"), ("worker", "executorCores", "executorMemory")):
        size = {key: pick(job, name) for key, name in (("cores", cores), ("memory", memory)) if pick(job, name)}
        if size:
            found[field] = size
    for field, key in (("driver", "driverSize"), ("worker", "executorSize")):
        if size_name := _plain(where, bag, key):
            found[field] = _size(where, key, size_name)
    count = _plain(where, bag, "numExecutors") or pick(job, "numExecutors")
    if count:
        found["workers"] = _number(where, "numExecutors", count)
        found.pop("max_workers", None)
    conf = {**_pairs(where, job, "conf"), **_pairs(where, bag, "conf")}
    return Wanted(_sized(where, found, conf), name)


def _pool_fields(pool: Resource) -> Fields:
    bag, where = pool.properties, f"Spark pool {pool.name!r}"
    found: Fields = {"workers": _number(where, "nodeCount", pick(bag, "nodeCount") or 0)}
    scale = pick(bag, "autoScale")
    if isinstance(scale, Mapping) and pick(scale, "enabled"):
        found["workers"] = _number(where, "minNodeCount", pick(scale, "minNodeCount") or 0)
        found["max_workers"] = _number(where, "maxNodeCount", pick(scale, "maxNodeCount") or 1)
    if size := _plain(where, bag, "nodeSize"):
        found |= {"driver": _size(where, "nodeSize", size), "worker": _size(where, "nodeSize", size)}
    return found


def definition_of(activity: Activity, factory: Factory, near: PurePath | None = None) -> Resource | None:
    """The Spark job definition that an activity names, where the export has it."""
    reference = read_reference(pick(activity.type_properties, "sparkJob"))
    return factory.named("sparkJobDefinition", reference.name, near) if reference else None


def _sized(where: str, found: Fields, conf: Mapping[str, str]) -> Fields:
    """The fields with Spark's properties: those that size a cluster become its size, and Databricks' own are left out."""
    rest: dict[str, str] = {}
    single = conf.get(_SINGLE_NODE) == "singleNode"
    for key, value in conf.items():
        if key in _NODES:
            node, size = _NODES[key]
            found[node] = {**found.get(node, {}), size: value}
        elif key in _COUNTS:
            found[_COUNTS[key]] = _number(where, key, value)
        elif not _OF_DATABRICKS.match(key) and not key.startswith("spark.dynamicAllocation."):
            rest[key] = value
    if single:
        found["workers"] = 0
    return {**found, "spark_conf": rest} if rest else found


def _size(where: str, field: str, name: Json) -> Fields:
    if str(name).casefold() not in _SIZES:
        raise SpecError(f"{where}: {field}: got {name!r}: takes {', '.join(size.capitalize() for size in _SIZES)}")
    cores, memory = _SIZES[str(name).casefold()]
    return {"cores": cores, "memory": memory}


def _pairs(where: str, bag: Mapping[str, Json], key: str) -> dict[str, str]:
    found = _plain(where, bag, key)
    if found is not None and not isinstance(found, Mapping):
        raise SpecError(f"{where}: {key}: got {type(found).__name__}: takes an object")
    return {str(name): str(value) for name, value in (found or {}).items() if value is not None}


def _plain(where: str, bag: Mapping[str, Json], key: str) -> Json:
    """A setting that a cluster's shape depends on: known while the DAG is parsed."""
    found = pick(bag, key)
    text = next(iter(expressions(found)), None)
    if text is None and isinstance(found, Mapping) and str(pick(found, "type")).casefold() == "expression":
        text = str(pick(found, "value"))
    if text is not None:
        raise SpecError(f"{where}: {key}: got the expression {text!r}: takes a value, as the cluster is planned before the run")
    return found


def _number(where: str, field: str, value: Json) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise SpecError(f"{where}: {field}: got {value!r}: takes a number") from None
