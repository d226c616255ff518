"""What an activity's settings ask for that does not run here: the reasons behind a verdict, known before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from airflow_ml_provider.adf import clusters, programs
from airflow_ml_provider.adf.graph import Activity, Factory, Pipeline
from airflow_ml_provider.adf.reading import pick
from airflow_ml_provider.core.errors import SpecError


def refusals(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    """Why an activity of a type that runs here fails all the same when it is reached. What expressions give is not known yet."""
    check = _CHECKS.get(activity.type.casefold())
    if check:
        yield from check(activity, pipeline, factory)


def on_a_cluster(activity: Activity, pipeline: Pipeline) -> Iterator[str]:
    """What keeps an activity from having tasks of its own on a cluster."""
    if around := one_task_around(activity, pipeline):
        yield f"{activity.type}: inside {around}, which is one task here, no cluster can be had: use a parallel ForEach, or none"
    if activity.policy.secure_input:
        yield "secureInput: the program's parameters would lie open in an XCom: take secrets from a connection instead"


def one_task_around(activity: Activity, pipeline: Pipeline) -> str:
    """The container around an activity whose inside runs in one task: an Until, a sequential ForEach, or a loop in a ForEach."""
    names, mapped = activity.path[:-1], False
    by_name = {one.name: one for one in pipeline.walk()}
    for container in (by_name[name] for name in names):
        kind = container.type.casefold()
        if kind == "until" or (kind == "foreach" and (mapped or pick(container.type_properties, "isSequential") is True)):
            return f"{container.type} {container.name!r}"
        mapped = mapped or kind == "foreach"
    return ""


def _spark(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    yield from on_a_cluster(activity, pipeline)
    try:
        clusters.cluster(activity, factory, pipeline.source)
        programs.check_libraries(activity.type_properties)
    except SpecError as error:
        yield str(error)


_CHECKS: dict[str, Callable[[Activity, Pipeline, Factory], Iterator[str]]] = dict.fromkeys(programs.SPARK, _spark)
