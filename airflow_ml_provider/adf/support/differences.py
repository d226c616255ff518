"""Where a pipeline that runs here is known to behave otherwise than in Data Factory: each difference, and the pipelines that it can touch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_ml_provider.adf.expressions.properties import texts
from airflow_ml_provider.adf.fields import bag, pick, read_reference
from airflow_ml_provider.adf.model import LOOPS, Activity, Factory, Pipeline
from airflow_ml_provider.adf.support.spark_programs import SPARK
from airflow_ml_provider.adf.support.synapse_notebooks import unsupported
from airflow_ml_provider.adf.triggers.events import Blobs
from airflow_ml_provider.adf.triggers.reader import starts
from airflow_ml_provider.adf.triggers.recurrence import Recurrence

Where = Iterator[str]
"""What of a pipeline a difference touches: an activity, a trigger or an expression, by name."""

_UNKNOWN: dict[str, frozenset[str]] = {
    "copy": frozenset(
        (
            *(
                "billingReference",
                "effectiveIntegrationRuntime",
                "effectiveIntegrationRuntimes",
                "profile",
                "reportLineageToPurview",
            ),
            *("sinkPeakConnections", "sourcePeakConnections", "usedDataIntegrationUnits", "usedParallelCopies"),
        )
    ),
    "": frozenset(("billingReference", "durationInQueue", "effectiveIntegrationRuntime", "effectiveIntegrationRuntimes")),
}
"""Fields of outputs that are null here, by type of activity; those of all others are under the empty name."""
_READS = re.compile(
    r"activity\(\s*'(?P<name>(?:[^']|'')*)'\s*\)\s*\??\.\s*(?:output\s*\??\.\s*(?P<field>\w+)|(?P<fact>StatusCode)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Difference:
    """One way in which a run differs.

    :param id: for reports and documentation.
    :param sentence: what differs, in a sentence without a full stop.
    :param touched: what of a pipeline it touches; nothing where it cannot.
    """

    id: str
    sentence: str
    touched: Callable[[Pipeline, Factory], Where]


def differences(pipeline: Pipeline, factory: Factory) -> dict[str, list[str]]:
    """The known differences that can touch a pipeline, by id, with what they touch."""
    found = {one.id: sorted(set(one.touched(pipeline, factory))) for one in DIFFERENCES}
    return {name: touched for name, touched in found.items() if touched}


def _activities(test: Callable[[Activity], bool]) -> Callable[[Pipeline, Factory], Where]:
    return lambda pipeline, _: (one.name for one in pipeline.walk() if test(one))


def _is(*kinds: str) -> Callable[[Activity], bool]:
    return lambda activity: activity.type.casefold() in kinds


def _unknown_outputs(pipeline: Pipeline, _: Factory) -> Where:
    kinds = {one.name.casefold(): one.type.casefold() for one in pipeline.walk()}
    for activity in pipeline.walk():
        for text in texts(activity.type_properties):
            for found in _READS.finditer(text) if "@" in text else ():
                kind = kinds.get(found["name"].replace("''", "'").casefold(), "")
                unknown = {name.casefold() for name in _UNKNOWN.get(kind, _UNKNOWN[""])}
                if found["fact"] or str(found["field"]).casefold() in unknown:
                    yield f"{activity.name}: {found[0]}"


def _runs_in_one_task(activity: Activity) -> bool:
    if activity.type.casefold() == "until":
        return bool(activity.branches)
    sequential = pick(activity.type_properties, "isSequential") is True
    inner = [one for one in activity.within() if one.type.casefold() in LOOPS]
    return activity.type.casefold() == "foreach" and (sequential or bool(inner))


def _limits_tasks(activity: Activity) -> bool:
    inside = [one for branch in activity.branches for one in branch.activities]
    return activity.type.casefold() == "foreach" and not _runs_in_one_task(activity) and len(inside) > 1


def _shares_a_standing_cluster(pipeline: Pipeline, factory: Factory) -> Where:
    for activity in pipeline.walk():
        reference = activity.linked_service
        service = factory.linked_service(reference.name, pipeline.source) if reference else None
        if service and activity.type.casefold() in SPARK and pick(bag(service.properties, "typeProperties"), "existingClusterId"):
            yield activity.name


def _utilities(pipeline: Pipeline, factory: Factory) -> Where:
    for activity in pipeline.walk():
        reference = read_reference(pick(activity.type_properties, "notebook"))
        if reference and activity.type.casefold() == "synapsenotebook":
            for call in unsupported(reference.name, lambda kind, name: factory.named(kind, name, pipeline.source)):
                yield f"{activity.name}: {call}"


def _identity(activity: Activity) -> bool:
    kind = str(pick(bag(activity.type_properties, "authentication"), "type") or "").casefold()
    return activity.type.casefold() in ("webactivity", "webhook") and ("msi" in kind or "identity" in kind)


def _started_by(kind: type) -> Callable[[Pipeline, Factory], Where]:
    return lambda pipeline, factory: (one.trigger for one in starts(factory, pipeline)[0] if isinstance(one.timing, kind))


def _has_a_vnet(activity: Activity) -> bool:
    return activity.type.casefold() == "webactivity" and bool(pick(activity.type_properties, "connectVia"))


DIFFERENCES = (
    Difference(
        "loop in one task",
        "an Until, a ForEach that is sequential, and one with a loop inside are one task: when its worker dies, the loop begins anew",
        _activities(_runs_in_one_task),
    ),
    Difference(
        "batchCount limits tasks",
        "a ForEach runs batchCount tasks of each activity at once, so that more items than that may be in the midst of their activities",
        _activities(_limits_tasks),
    ),
    Difference(
        "waitOnCompletion is missing",
        "an ExecutePipeline without waitOnCompletion does not wait, as the SDK documents it; the portal writes true",
        _activities(lambda one: _is("executepipeline")(one) and pick(one.type_properties, "waitOnCompletion") is None),
    ),
    Difference(
        "outputs that are null",
        "what an output says of Azure's own machines and bills is null, as is StatusCode",
        _unknown_outputs,
    ),
    Difference(
        "a missed time runs late",
        "a time of a schedule that Airflow was down for gives one run when it is back",
        _started_by(Recurrence),
    ),
    Difference(
        "blobs are found by listing",
        "blobs are found by listing their folder every watch_interval, so one that is written and deleted between two looks starts nothing",
        _started_by(Blobs),
    ),
    Difference(
        "a standing cluster is made",
        "a linked service with existingClusterId gets a cluster that is made for it, and ends when it was idle",
        _shares_a_standing_cluster,
    ),
    Difference(
        "utilities that are not there",
        "a notebook of Synapse fails where it uses utilities, or a language, that only Synapse has",
        _utilities,
    ),
    Difference(
        "managed identity",
        "a request that signs in by a managed identity signs in as the worker",
        _activities(_identity),
    ),
    Difference(
        "integration runtime of a request",
        "a WebActivity with connectVia is sent from the worker, which must reach the address itself",
        _activities(_has_a_vnet),
    ),
)
"""All that is known."""
