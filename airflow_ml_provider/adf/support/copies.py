"""How the Copies of a pipeline are done, as far as the export alone tells."""

from __future__ import annotations

from airflow_ml_provider.adf.model import Activity, Factory, Pipeline
from airflow_ml_provider.adf.support.connection_variants import static_connection
from airflow_ml_provider.adf.support.datasets import Way, by_rows, kind_of, way
from airflow_ml_provider.core.errors import SpecError


def copy_way(activity: Activity, pipeline: Pipeline, factory: Factory) -> Way | None:
    """How a Copy is done; None when it is none that can be done.

    A cluster is planned before the run. A Copy between mounts that only the run knows is done row by row.
    """
    if activity.type.casefold() != "copy" or len(activity.inputs) != 1 or len(activity.outputs) != 1:
        return None
    source, sink = (factory.dataset(one.name, pipeline.source) for one in (*activity.inputs, *activity.outputs))
    try:
        found = way(activity, source, sink) if source and sink else None
    except (SpecError, ValueError):
        return None
    return Way.ROWS if found is Way.SPARK and not copy_mounts(activity, pipeline, factory) else found


def copy_mounts(activity: Activity, pipeline: Pipeline, factory: Factory) -> set[str]:
    """The mounts of a Copy's datasets; nothing where only the run knows one."""
    found = [static_connection(factory, pipeline.source, one) for one in (*activity.inputs, *activity.outputs)]
    return {conn_id for conn_id in found if conn_id} if all(found) else set()


def conversion_refusal(activity: Activity, pipeline: Pipeline, factory: Factory) -> str:
    """Why a conversion that needs Spark cannot be planned; empty where there is no reason."""
    if copy_way(activity, pipeline, factory) is not Way.ROWS:
        return ""
    source, sink = (factory.dataset(one.name, pipeline.source) for one in (*activity.inputs, *activity.outputs))
    if source is None or sink is None or way(activity, source, sink) is not Way.SPARK:
        return ""
    if by_rows(*(kind_of(one.type, one.type_properties) for one in (source, sink))):
        return ""
    fix = "takes arguments that are values, as the cluster's mounts are planned before the run"
    return f"a Copy from {source.type} to {sink.type}: its linked services have arguments that only the run knows: {fix}"
