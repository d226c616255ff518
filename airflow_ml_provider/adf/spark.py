"""The tasks of a Spark activity: a cluster as its linked service asks for it, and the program on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_ml_provider.adf.clusters import Wanted, cluster
from airflow_ml_provider.adf.graph import Activity, Factory, Pipeline
from airflow_ml_provider.adf.hosting import Hosted, TaskFactory
from airflow_ml_provider.adf.programs import check_libraries
from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import ClusterSpec
from airflow_ml_provider.operators.adf.clusters import AdfClusterOperator, AdfSharedJobOperator
from airflow_ml_provider.operators.base import check_constants

Overrides = Mapping[str, Mapping[str, Any]]


class AdfCluster(SparkCluster):
    """A cluster of one activity's own."""

    creator = AdfClusterOperator


def spark_tasks(activity: Activity, pipeline: Pipeline, factory: Factory, overrides: Overrides) -> TaskFactory:
    """What makes the tasks of a Spark activity.

    :param overrides: fields of clusters by linked service or pool, in the place of what the export says.
    :raises SpecError: the export asks for what has no meaning here.
    """
    wanted = _wanted(activity, pipeline, factory, overrides)
    check_libraries(activity.type_properties)
    check_constants(ClusterSpec, wanted.fields)
    return lambda hosted: on_cluster(hosted, wanted)


def on_cluster(hosted: Hosted, wanted: Wanted) -> Any:
    """The tasks; returns the one whose XCom is what the program hands back."""
    shipped = {"program": hosted.properties, "libraries": hosted.properties["libraries"]}
    shipped["spark_conf"] = hosted.properties["spark_conf"]
    if wanted.shared:
        maker = AdfClusterOperator(task_id="cluster", service=wanted.service, shared=True, **wanted.fields)
        return AdfSharedJobOperator(task_id="run", maker=maker, **shipped, **hosted.fields)
    with AdfCluster("cluster", service=wanted.service, **wanted.fields) as made:
        return made.job("run", **shipped, **hosted.fields)


def _wanted(activity: Activity, pipeline: Pipeline, factory: Factory, overrides: Overrides) -> Wanted:
    name = activity.linked_service.name if activity.linked_service else ""
    try:
        found = cluster(activity, factory, pipeline.source)
    except SpecError:
        if name not in overrides:
            raise
        found = Wanted({}, name)
    return replace(found, fields=dict(overrides.get(found.service, found.fields)))
