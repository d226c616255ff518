"""The tasks of a Spark activity: a cluster as its linked service asks for it, and the program on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from airflow_ml_provider.adf.airflow.hosted_activities import Hosted, TaskFactory
from airflow_ml_provider.adf.airflow.operators.clusters import AdfClusterOperator, AdfJobOperator, AdfSharedJobOperator
from airflow_ml_provider.adf.airflow.operators.spark_copy import AdfConversionOperator
from airflow_ml_provider.adf.airflow.task_index import Place
from airflow_ml_provider.adf.model import Activity, Factory, Pipeline
from airflow_ml_provider.adf.support.clusters import Wanted, cluster
from airflow_ml_provider.adf.support.copies import conversion_refusal, copy_mounts, copy_way
from airflow_ml_provider.adf.support.datasets import Way
from airflow_ml_provider.adf.support.spark_programs import SPARK, check_libraries
from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import ClusterSpec
from airflow_ml_provider.operators.base import check_constants

COPY = "Copy"
"""What stands for the service of Copies that Spark does: the id of a connection, ``copy``, and a key of ``clusters``."""
_COPY_WINDOW = "300"
Overrides = Mapping[str, Mapping[str, Any]]


class AdfCluster(SparkCluster):
    """A cluster of one activity's own."""

    creator = AdfClusterOperator

    def job(self, task_id: str, **fields: Any) -> AdfJobOperator:
        """The activity's job."""
        return AdfJobOperator(task_id=task_id, cluster=self.handle, **fields)


def spark_tasks(activity: Activity, place: Place) -> TaskFactory:
    """What makes the tasks of a Spark activity.

    :raises SpecError: the export asks for what has no meaning here.
    """
    wanted = _checked(activity, place)
    job = place.enters.get(activity.task.job) if activity.task and activity.task.loop else None
    return lambda hosted: on_cluster(hosted, wanted, all_items=job is not None and not job.mapped)


def in_a_loop(activity: Activity, place: Place) -> Wanted | str | None:
    """The cluster of an activity in a loop that is one task, or why there is none; None for an activity without Spark."""
    if activity.type.casefold() in SPARK:
        try:
            return _checked(activity, place)
        except SpecError as error:
            return str(error)
    if refusal := conversion_refusal(activity, place.pipeline, place.factory):
        return refusal
    is_copy = copy_way(activity, place.pipeline, place.factory) is Way.SPARK
    return Wanted(_for_copies(place), COPY, shared=True) if is_copy else None


def _checked(activity: Activity, place: Place) -> Wanted:
    wanted = _wanted(activity, place)
    check_libraries(activity.type_properties)
    check_constants(ClusterSpec, wanted.fields)
    return wanted


def _for_copies(place: Place) -> dict[str, Any]:
    mounts = sorted(set(_mounts(place.pipeline, place.factory)))
    return {"name": "adf-copy", "idle_timeout": _COPY_WINDOW, "mounts": mounts, **place.clusters.get(COPY, {})}


def conversion_tasks(activity: Activity, place: Place) -> TaskFactory | None:
    """What makes the tasks of a Copy that Spark does; None for every other Copy.

    All of a pipeline's Copies share one cluster, which has the mounts of all of them.
    """
    if copy_way(activity, place.pipeline, place.factory) is not Way.SPARK:
        return None
    fields = _for_copies(place)

    def tasks(hosted: Hosted) -> Any:
        maker = AdfClusterOperator(task_id="cluster", service=COPY, shared=True, **fields)
        return AdfConversionOperator(task_id="run", maker=maker, **_shipped(hosted), **hosted.fields)

    return tasks


def _mounts(pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    """The mounts of the Copies that Spark does."""
    for activity in pipeline.walk():
        if copy_way(activity, pipeline, factory) is Way.SPARK:
            yield from copy_mounts(activity, pipeline, factory)


def _shipped(hosted: Hosted) -> dict[str, Any]:
    """What the first task hands to the one that runs the program."""
    found = hosted.properties
    return {"program": found, "libraries": found["libraries"], "spark_conf": found["spark_conf"]}


def on_cluster(hosted: Hosted, wanted: Wanted, *, all_items: bool = False) -> Any:
    """The tasks; returns the one whose XCom is what the program hands back.

    :param all_items: a cluster that is shared in a run serves all items of the loop around them.
    """
    shipped = _shipped(hosted)
    if wanted.shared:
        sharing: dict[str, Any] = {"shared": True, "share": wanted.share, "of_run": wanted.of_run, "all_items": all_items}
        maker = AdfClusterOperator(task_id="cluster", service=wanted.service, conn_id=wanted.conn_id, **sharing, **wanted.fields)
        return AdfSharedJobOperator(task_id="run", maker=maker, **shipped, **hosted.fields)
    fields: dict[str, Any] = {"service": wanted.service, "conn_id": wanted.conn_id, **wanted.fields}
    with AdfCluster("cluster", **fields) as made:
        return made.job("run", **shipped, **hosted.fields)


def _wanted(activity: Activity, place: Place) -> Wanted:
    name = activity.linked_service.name if activity.linked_service else ""
    try:
        found = cluster(activity, place.factory, place.pipeline.source)
    except SpecError:
        if name not in place.clusters:
            raise
        found = Wanted({}, name)
    fields = {"mounts": list(place.mounts)} if place.mounts else {}
    given = place.clusters.get(found.share.partition(" ")[2], place.clusters.get(found.service, found.fields))
    return replace(found, fields={**fields, **given})
