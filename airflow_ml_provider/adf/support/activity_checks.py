"""What an activity's settings ask for that does not run here: the reasons behind a verdict, known before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from airflow_ml_provider.adf.expressions.properties import expressions
from airflow_ml_provider.adf.fields import bag, pick, read_reference
from airflow_ml_provider.adf.known_properties import refused_properties
from airflow_ml_provider.adf.model import LOOPS, Activity, Factory, Pipeline, Reference, Resource
from airflow_ml_provider.adf.support import clusters, databricks_jobs, spark_programs
from airflow_ml_provider.adf.support.column_mappings import columns
from airflow_ml_provider.adf.support.connection_variants import connection_refusals
from airflow_ml_provider.adf.support.copies import conversion_refusal, copy_way
from airflow_ml_provider.adf.support.datasets import EXCEL, READ_BY_ROWS, Role, Way, by_rows, kind_of, role, way
from airflow_ml_provider.adf.support.rest_pagination import wrong_rules
from airflow_ml_provider.core.errors import SpecError

FIELDS = ("exists", "itemName", "itemType", "size", "lastModified", "childItems", "contentMD5", "structure", "columnCount")
"""What GetMetadata can be asked."""


def refusals(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    """Why an activity of a type that runs here fails all the same when it is reached. What expressions give is not known yet."""
    yield from refused_properties(activity)
    yield from connection_refusals(activity, pipeline, factory)
    check = _CHECKS.get(activity.type.casefold())
    if check:
        yield from check(activity, pipeline, factory)


def on_a_cluster(activity: Activity) -> Iterator[str]:
    """What keeps an activity from running on a cluster."""
    if activity.policy.secure_input:
        yield "secureInput: the program's parameters would lie open in an XCom: take secrets from a connection instead"


def is_in_one_task(activity: Activity, pipeline: Pipeline) -> bool:
    """Whether the inside of a container around the activity runs in one task: an Until, a sequential ForEach, or a loop in a ForEach."""
    names, mapped = activity.path[:-1], False
    by_name = {one.name: one for one in pipeline.walk()}
    for container in (by_name[name] for name in names):
        kind = container.type.casefold()
        if kind == "until" or (kind in LOOPS and (mapped or pick(container.type_properties, "isSequential") is True)):
            return True
        mapped = mapped or kind in LOOPS
    return False


def _spark(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    yield from on_a_cluster(activity)
    try:
        clusters.cluster(activity, factory, pipeline.source)
        spark_programs.check_libraries(activity.type_properties)
    except SpecError as error:
        yield str(error)


def _copy(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    ends = [*activity.inputs[:1], *activity.outputs[:1]]
    if not activity.inputs or not activity.outputs:
        yield "inputs, outputs: takes a dataset each"
        return
    missing = list(_missing(ends, pipeline, factory))
    yield from missing
    source, sink = (factory.dataset(one.name, pipeline.source) for one in ends)
    if source is None or sink is None:
        return
    try:
        found = copy_way(activity, pipeline, factory) or way(activity, source, sink)
        if not list(expressions(pick(activity.type_properties, "translator"))):
            columns(pick(activity.type_properties, "translator"), collected=role(source) is Role.REST)
    except SpecError as error:
        yield str(error)
        return
    if refusal := conversion_refusal(activity, pipeline, factory):
        yield refusal
    yield from _of_sheet(source)
    kinds = [kind_of(one.type, one.type_properties) for one in (source, sink)]
    if found is Way.SPARK and not (by_rows(*kinds) and is_in_one_task(activity, pipeline)):
        yield from on_a_cluster(activity)
    yield from _of_copy(activity, found, kinds[0])


def _of_copy(activity: Activity, found: Way, kind: str) -> Iterator[str]:
    """What the two sides of a Copy ask for."""
    source, sink = (bag(activity.type_properties, key) for key in ("source", "sink"))
    behavior = str(pick(bag(sink, "storeSettings"), "copyBehavior") or "").casefold()
    yield from wrong_rules(bag(source, "paginationRules"))
    if found is Way.BYTES and behavior == "mergefiles":
        yield "copyBehavior: MergeFiles: files that are copied as they are cannot be merged: give them a format"
    if found is Way.SPARK and kind == "xml" and not pick(bag(source, "formatSettings"), "rowTag"):
        yield "source.formatSettings.rowTag: missing, and Spark must know which element of an Xml file is a row: add it"
    if found is Way.SPARK and pick(bag(source, "formatSettings"), "skipLineCount"):
        yield "formatSettings.skipLineCount: Spark skips no lines: copy to a table instead"


def _of_sheet(dataset: Resource) -> Iterator[str]:
    known = (pick(dataset.type_properties, key) for key in ("sheetName", "sheetIndex"))
    if kind_of(dataset.type, dataset.type_properties) == EXCEL and all(one in (None, "") for one in known):
        yield f"dataset {dataset.name!r}: sheetName, sheetIndex: takes one of the two"


def _of_dataset(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    """Lookup, GetMetadata, Delete and Validation: their one dataset."""
    reference = read_reference(pick(activity.type_properties, "dataset"))
    if reference is None:
        yield "dataset: is required"
        return
    yield from _missing([reference], pipeline, factory)
    dataset, kind = factory.dataset(reference.name, pipeline.source), activity.type.casefold()
    if dataset is None:
        return
    try:
        found = role(dataset)
    except SpecError as error:
        yield str(error)
        return
    if found in (Role.HTTP, Role.REST) or (found is Role.TABLE and kind in ("delete", "validation")):
        yield f"dataset {dataset.name!r}: {dataset.type}: {activity.type} takes files of a mount"
    form = kind_of(dataset.type, dataset.type_properties)
    if kind == "lookup" and found is Role.FILES and form not in READ_BY_ROWS:
        yield f"dataset {dataset.name!r}: {dataset.type}: a Lookup reads {', '.join(sorted(READ_BY_ROWS))} files"
    yield from _of_sheet(dataset)


def _facts(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    yield from _of_dataset(activity, pipeline, factory)
    fields = pick(activity.type_properties, "fieldList")
    for field in fields if isinstance(fields, list) else ():
        if isinstance(field, str) and field not in FIELDS and not list(expressions(field)):
            yield f"fieldList: got {field!r}: takes {', '.join(FIELDS)}"


def _missing(references: Iterable[Reference], pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    for one in references:
        if not factory.dataset(one.name, pipeline.source):
            yield f"dataset {one.name!r}: is not in the export"


def _web(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    asked = activity.type_properties
    if not pick(asked, "url"):
        yield "url: is required"
    kind = str(pick(bag(asked, "authentication"), "type") or "Basic")
    if kind.casefold() not in AUTHENTICATIONS and not list(expressions(kind)):
        yield f"authentication: got {kind!r}: takes Basic, MSI, UserAssignedManagedIdentity or ServicePrincipal"


def _job(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    if not activity.job:
        yield databricks_jobs.refusal(activity, factory, pipeline.source)


def _of_service(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    if activity.linked_service is None:
        yield "linkedServiceName: is required"


def _of_pool(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    if activity.linked_service is None or not activity.linked_service.name:
        yield "sqlPool: is required"


AUTHENTICATIONS = ("basic", "msi", "serviceprincipal", "systemassignedmanagedidentity", "userassignedmanagedidentity")
_CHECKS: dict[str, Callable[[Activity, Pipeline, Factory], Iterator[str]]] = {
    **dict.fromkeys(spark_programs.SPARK, _spark),
    **dict.fromkeys(("delete", "lookup", "validation"), _of_dataset),
    **dict.fromkeys(("azurefunctionactivity", "script", "sqlserverstoredprocedure"), _of_service),
    "sqlpoolstoredprocedure": _of_pool,
    **dict.fromkeys(("webactivity", "webhook"), _web),
    "copy": _copy,
    "getmetadata": _facts,
    "databricksjob": _job,
}
