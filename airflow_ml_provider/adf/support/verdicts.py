"""What of an export runs here: a verdict for every pipeline, a reason for everything that will not run.

``imported``: every activity runs. ``partly``: some fail with their reason when they are reached. ``refused``: it makes no DAG.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from airflow_ml_provider.adf.errors import ExpressionError
from airflow_ml_provider.adf.expressions.evaluator import REFERENCES, calls
from airflow_ml_provider.adf.expressions.functions import FUNCTIONS
from airflow_ml_provider.adf.expressions.grammar import Call, Literal
from airflow_ml_provider.adf.expressions.properties import expressions
from airflow_ml_provider.adf.model import Activity, Factory, Pipeline
from airflow_ml_provider.adf.support.activity_checks import refusals
from airflow_ml_provider.adf.support.databricks_jobs import TASK_TYPES

RUNS = frozenset(
    [
        "AppendVariable",
        "AzureFunctionActivity",
        "Copy",
        "DatabricksJob",
        "DatabricksNotebook",
        "DatabricksSparkJar",
        "DatabricksSparkPython",
        "Delete",
        "ExecutePipeline",
        "Fail",
        "Filter",
        "ForEach",
        "GetMetadata",
        "HDInsightSpark",
        "IfCondition",
        "Lookup",
        "Script",
        "SetVariable",
        "SparkJob",
        "SqlPoolStoredProcedure",
        "SqlServerStoredProcedure",
        "Switch",
        "SynapseNotebook",
        "Until",
        "Validation",
        "Wait",
        "WebActivity",
        "WebHook",
    ]
)
"""Types of activities that run here."""

_CANNOT = {
    "AzureDataExplorerCommand": "Azure Data Explorer is not reached from here",
    "AzureMLBatchExecution": "Azure ML Studio (classic) is retired",
    "AzureMLExecutePipeline": "pipelines of Azure ML run in Azure ML alone",
    "AzureMLUpdateResource": "Azure ML Studio (classic) is retired",
    "Custom": "custom activities run on Azure Batch alone",
    "DataLakeAnalyticsU-SQL": "Data Lake Analytics and U-SQL are retired",
    "ExecuteDataFlow": "mapping data flows run in Data Factory alone",
    "ExecutePowerQuery": "Power Query runs in Data Factory alone",
    "ExecuteSSISPackage": "SSIS packages need an SSIS integration runtime",
    "ExecuteWranglingDataflow": "Power Query runs in Data Factory alone",
    "HDInsightHive": "Hive scripts are not run here: use Spark SQL",
    "HDInsightMapReduce": "MapReduce programs are not run here: use Spark",
    "HDInsightPig": "Pig scripts are not run here: use Spark",
    "HDInsightStreaming": "Hadoop streaming is not run here: use Spark",
}
_OTHER = "an activity of a type that is not known here"
_KNOWN = {*(name.casefold() for name in RUNS), *TASK_TYPES}
_REASONS = {name.casefold(): reason for name, reason in _CANNOT.items()}
_FUNCTIONS = {*FUNCTIONS, *(name.casefold() for name in REFERENCES)}


class Outcome(StrEnum):
    """Of a pipeline."""

    IMPORTED = "imported"
    PARTLY = "partly"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something will not run.

    :param where: names of the activities, outermost first; empty for the pipeline.
    :param refuses: the whole pipeline makes no DAG.
    """

    text: str
    where: tuple[str, ...] = ()
    refuses: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one pipeline."""

    pipeline: Pipeline
    reasons: tuple[Reason, ...]

    @property
    def outcome(self) -> Outcome:
        if any(reason.refuses for reason in self.reasons):
            return Outcome.REFUSED
        return Outcome.PARTLY if self.reasons else Outcome.IMPORTED


def judge(pipeline: Pipeline, factory: Factory) -> Verdict:
    """The verdict on a pipeline, with the factory that its references lead to."""
    told = (Reason(problem.reason, problem.where) for problem in pipeline.problems)
    inside = chain.from_iterable(reasons(activity, pipeline, factory) for activity in pipeline.walk())
    return Verdict(pipeline, tuple(chain(told, _order(pipeline), inside)))


def refusal(pipeline: Pipeline) -> str:
    """Why a pipeline makes no DAG; empty when it makes one."""
    return next((reason.text for reason in _order(pipeline) if reason.refuses), "")


def reasons(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[Reason]:
    """Why an activity will not run; nothing when it will, or is inactive."""
    if not activity.active:
        return
    if activity.type.casefold() not in _KNOWN:
        yield Reason(f"{activity.type}: {_REASONS.get(activity.type.casefold(), _OTHER)}", activity.path)
    elif activity.type.casefold() == "executepipeline":
        yield from _called(activity, pipeline, factory)
    else:
        yield from (Reason(text, activity.path) for text in refusals(activity, pipeline, factory))
    for text in () if activity.task else _texts(activity):
        yield from _faults(text, activity, pipeline)


def _called(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[Reason]:
    raw = activity.type_properties.get("pipeline")
    name = raw.get("referenceName") if isinstance(raw, Mapping) else raw
    if not isinstance(name, str) or not factory.pipeline(name, pipeline.source):
        yield Reason(f"calls the pipeline {name!r}, which is not in the export", activity.path)


def _texts(activity: Activity) -> Iterator[str]:
    yield from expressions(dict(activity.type_properties))
    for reference in (activity.linked_service, *activity.inputs, *activity.outputs):
        yield from expressions(dict(reference.parameters) if reference else None)


def _faults(text: str, activity: Activity, pipeline: Pipeline) -> Iterator[Reason]:
    try:
        for call in calls(text):
            if call.name.casefold() not in _FUNCTIONS:
                yield Reason(f"the expression language has no function {call.name!r}", activity.path)
            elif missing := _missing(call, pipeline):
                yield Reason(missing, activity.path)
    except ExpressionError as error:
        yield Reason(f"an expression that cannot be read: {error}", activity.path)


def _missing(call: Call, pipeline: Pipeline) -> str:
    """What a call refers to by a name that the pipeline does not have."""
    name = call.arguments[0] if call.arguments else None
    if call.name.casefold() != "variables" or not isinstance(name, Literal):
        return ""
    known = {one.casefold() for one in pipeline.variables}
    return (
        "" if str(name.value).casefold() in known else f"refers to the variable {name.value!r}, which the pipeline does not have"
    )


def _order(pipeline: Pipeline) -> Iterator[Reason]:
    """Dependencies that lead nowhere, and circles."""
    yield from _level(pipeline.activities)
    for activity in pipeline.walk():
        for branch in activity.branches:
            yield from _level(branch.activities)


def _level(activities: tuple[Activity, ...]) -> Iterator[Reason]:
    waiting = {one.name.casefold(): {edge.activity.casefold() for edge in one.depends_on} for one in activities}
    for activity in activities:
        for edge in activity.depends_on:
            if edge.activity.casefold() not in waiting:
                yield Reason(f"depends on {edge.activity!r}, which is not beside it: the dependency is left out", activity.path)
    while free := [name for name, names in waiting.items() if not names & waiting.keys()]:
        for name in free:
            del waiting[name]
    if waiting:
        yield Reason(f"activities that wait for each other: {', '.join(sorted(waiting))}", refuses=True)
