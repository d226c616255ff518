"""An export as plain values: pipelines, activities, the edges between them, and what they refer to. Nothing of Airflow.

Property bags (``type_properties``, a default value, a policy's numbers) keep their JSON form, expressions included:
:func:`airflow_ml_provider.adf.expressions.properties.resolve` gives them their values when the activity runs.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import chain, takewhile
from pathlib import PurePath
from typing import Any, NamedTuple, TypeAlias, TypeVar

Json = Any
Key: TypeAlias = tuple[str, PurePath]
WITHOUT_POLICY = frozenset(
    [
        *("appendvariable", "executepipeline", "fail", "filter", "for_each_task", "foreach", "ifcondition"),
        *("setvariable", "switch", "until", "validation", "wait", "webhook"),
    ]
)
"""Types of activities without a policy: a timeout of theirs is a property of their own, or they have none."""
LOOPS = frozenset(("foreach", "for_each_task"))
"""Types of activities whose inside runs for each of some items, in lower case."""
HALF_A_DAY = 12 * 3600.0
"""Seconds of a policy's timeout that is not given."""


class Condition(StrEnum):
    """How an activity ended, as an edge asks for it. ``COMPLETED`` is Succeeded or Failed."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    COMPLETED = "Completed"


@dataclass(frozen=True, slots=True)
class Edge:
    """The activity waits for another one; any of the conditions is enough."""

    activity: str
    conditions: frozenset[Condition] = frozenset({Condition.SUCCEEDED})


@dataclass(frozen=True, slots=True)
class Policy:
    """An activity's policy. Each value may be an expression.

    :param timeout: as ADF writes it, ``d.hh:mm:ss``; None for ADF's default of 12 hours (7 days before 2022).
    :param retry: how many more attempts.
    :param retry_interval: seconds between attempts.
    """

    timeout: Json = None
    retry: Json = 0
    retry_interval: Json = 30
    secure_input: Json = False
    secure_output: Json = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A mention of a linked service, a dataset, a pipeline … by name, with the arguments for its parameters."""

    type: str
    name: str
    parameters: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Branch:
    """Activities inside a container.

    :param kind: ``body`` (ForEach, Until), ``true`` or ``false`` (IfCondition), ``case`` or ``default`` (Switch), ``tasks`` (of a
        Databricks job).
    :param value: of a case.
    """

    kind: str
    activities: tuple[Activity, ...]
    value: str = ""

    @property
    def label(self) -> str:
        return f"case {self.value!r}" if self.kind == "case" else self.kind


class RunIf(StrEnum):
    """When a task of a Databricks job runs, once all that it waits for has ended."""

    ALL_SUCCESS = "ALL_SUCCESS"
    ALL_DONE = "ALL_DONE"
    NONE_FAILED = "NONE_FAILED"
    AT_LEAST_ONE_SUCCESS = "AT_LEAST_ONE_SUCCESS"
    ALL_FAILED = "ALL_FAILED"
    AT_LEAST_ONE_FAILED = "AT_LEAST_ONE_FAILED"


@dataclass(frozen=True, slots=True)
class Job:
    """What an activity that runs a Databricks job knows of it.

    :param parameters: their default values.
    :param timeout: seconds from the job's beginning after which no task of it begins.
    """

    id: str
    name: str
    parameters: Mapping[str, str]
    timeout: float


@dataclass(frozen=True, slots=True)
class JobTask:
    """What makes an activity a task of a Databricks job.

    :param job: the name of the activity that runs the job.
    :param key: the task's key in the job.
    :param cluster: fields of its cluster's :class:`~airflow_ml_provider.core.spec.ClusterSpec`.
    :param service: the linked service of the job's activity, whose name may be the id of a connection.
    :param share: what tells the cluster from the job's others; empty for one of the task's own.
    :param lasting: the cluster outlives the run.
    :param outcomes: of conditions that it waits for, ``true`` or ``false``, by the names of their activities: the ones with which it runs.
    :param loop: the name of the For each that repeats it.
    """

    job: str
    key: str
    run_if: RunIf
    cluster: Mapping[str, Json]
    service: str
    share: str = ""
    lasting: bool = False
    outcomes: Mapping[str, str] = field(default_factory=dict)
    loop: str = ""


@dataclass(frozen=True, slots=True)
class Activity:
    """One activity.

    :param active: False for ``state: Inactive``; it then counts as ``on_inactive_mark_as`` without running.
    :param type_properties: what its type asks for, without the activities inside, which are in ``branches``.
    :param inputs: datasets, of a Copy.
    :param path: names of the containers around it, outermost first, and its own.
    :param job: the Databricks job that it runs, where its definition is known; the tasks are in ``branches``.
    :param task: it is a task of such a job; its ``type`` and ``type_properties`` are Databricks' own.
    """

    name: str
    type: str
    depends_on: tuple[Edge, ...] = ()
    policy: Policy = Policy()
    user_properties: Mapping[str, Json] = field(default_factory=dict)
    active: bool = True
    on_inactive_mark_as: Condition = Condition.SUCCEEDED
    type_properties: Mapping[str, Json] = field(default_factory=dict)
    branches: tuple[Branch, ...] = ()
    linked_service: Reference | None = None
    inputs: tuple[Reference, ...] = ()
    outputs: tuple[Reference, ...] = ()
    description: str = ""
    path: tuple[str, ...] = ()
    job: Job | None = None
    task: JobTask | None = None

    def within(self) -> Iterator[Activity]:
        """The activities inside, at any depth, in the order of the file."""
        for branch in self.branches:
            for activity in branch.activities:
                yield activity
                yield from activity.within()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter or a variable.

    :param type: as written: String, Int, Float, Bool, Array, Object, SecureString …
    :param default: its default value; ``required`` when there is none.
    """

    type: str = "String"
    default: Json = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a file that a person should know; loading went on.

    :param reason: one sentence.
    :param where: the resource or the activities' names, outermost first.
    :param fatal: the file, or what ``where`` names, was left out.
    """

    source: PurePath
    reason: str
    where: tuple[str, ...] = ()
    fatal: bool = False

    def __str__(self) -> str:
        return ": ".join([str(self.source), *([" / ".join(self.where)] if self.where else []), self.reason])


@dataclass(frozen=True, slots=True)
class Resource:
    """Anything named in a factory.

    :param kind: in ADF's folder words: ``pipeline``, ``dataset``, ``linkedService``, ``trigger``, ``dataflow``,
        ``integrationRuntime``, ``notebook``, ``sparkJobDefinition`` …
    :param type: such as ``AzureBlobStorage`` or ``ScheduleTrigger``; empty where the kind has none.
    :param properties: the document's ``properties``.
    :param source: the file, relative to what was loaded.
    """

    kind: str
    name: str
    type: str
    properties: Mapping[str, Json]
    source: PurePath

    @property
    def type_properties(self) -> Mapping[str, Json]:
        found = self.properties.get("typeProperties")
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline. Names of activities are unique in it, at any depth, as ADF asks for.

    :param concurrency: how many runs at a time; None for no limit.
    :param folder: such as ``Ingest/Hourly``; empty for the root.
    :param problems: what was mended or ignored in reading it.
    """

    name: str
    source: PurePath
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    variables: Mapping[str, Parameter] = field(default_factory=dict)
    activities: tuple[Activity, ...] = ()
    concurrency: int | None = None
    annotations: tuple[str, ...] = ()
    folder: str = ""
    description: str = ""
    problems: tuple[Problem, ...] = ()

    @property
    def key(self) -> Key:
        """What tells the pipeline from every other one of the export: its name in lower case, and its file."""
        return self.name.casefold(), self.source

    def walk(self) -> Iterator[Activity]:
        """Every activity, at any depth, in the order of the file."""
        for activity in self.activities:
            yield activity
            yield from activity.within()


class PipelineName(NamedTuple):
    """What tells a pipeline from others, without its content."""

    name: str
    source: PurePath

    @property
    def key(self) -> Key:
        return self.name.casefold(), self.source


class PackedPipelines(Sequence[Pipeline]):
    """Pipelines as pickles, each of which is unpacked when it is first asked for.

    :param names: of the pipelines, which need no unpacking.
    """

    def __init__(self, pipelines: Iterable[Pipeline]) -> None:
        pipelines = list(pipelines)
        self.names = [PipelineName(one.name, one.source) for one in pipelines]
        self._pickles = [pickle.dumps(one, protocol=pickle.HIGHEST_PROTOCOL) for one in pipelines]
        self._unpacked: dict[int, Pipeline] = {}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        if place not in self._unpacked:
            self._unpacked[place] = pickle.loads(self._pickles[place])  # noqa: S301 - made by __init__
        return self._unpacked[place]


@dataclass(frozen=True)
class Factory:
    """All that a folder or a file holds. Names may occur twice, where the folder holds several factories.

    :param global_parameters: by name, as values.
    :param factories: the factories or workspaces themselves; of a template, by its parameter ``factoryName`` or ``workspaceName``.
    :param other: resources of other kinds (notebooks, Spark pools, credentials …).
    """

    pipelines: Sequence[Pipeline] = ()
    datasets: tuple[Resource, ...] = ()
    linked_services: tuple[Resource, ...] = ()
    triggers: tuple[Resource, ...] = ()
    data_flows: tuple[Resource, ...] = ()
    integration_runtimes: tuple[Resource, ...] = ()
    other: tuple[Resource, ...] = ()
    factories: tuple[Resource, ...] = ()
    global_parameters: Mapping[str, Json] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def pipeline(self, name: str, near: PurePath | None = None) -> Pipeline | None:
        """The pipeline of that name; of several, the nearest to the file ``near``. Names know no case."""
        place = _nearest(self._places.get(name.casefold(), ()), near)
        return None if place is None else self.pipelines[place.number]

    @property
    def pipeline_names(self) -> Sequence[Pipeline | PipelineName]:
        """The names and files of the pipelines, in their order. Pipelines that are packed stay so."""
        return self.pipelines.names if isinstance(self.pipelines, PackedPipelines) else self.pipelines

    def dataset(self, name: str, near: PurePath | None = None) -> Resource | None:
        return self.named("dataset", name, near)

    def linked_service(self, name: str, near: PurePath | None = None) -> Resource | None:
        return self.named("linkedService", name, near)

    def named(self, kind: str, name: str, near: PurePath | None = None) -> Resource | None:
        """A resource of any kind but a pipeline, such as ``named("sparkJobDefinition", …)``."""
        return _nearest(self._resources.get((kind, name.casefold()), ()), near)

    def name_near(self, source: PurePath) -> str:
        """The name of the factory that a file belongs to; empty where the export does not say it."""
        found = _nearest(self.factories, source)
        return found.name if found else ""

    @cached_property
    def _places(self) -> dict[str, list[_Place]]:
        found: dict[str, list[_Place]] = {}
        for number, one in enumerate(self.pipeline_names):
            found.setdefault(one.name.casefold(), []).append(_Place(number, one.source))
        return found

    @cached_property
    def _resources(self) -> dict[tuple[str, str], list[Resource]]:
        found: dict[tuple[str, str], list[Resource]] = {}
        everything = (self.datasets, self.linked_services, self.triggers, self.data_flows, self.integration_runtimes, self.other)
        for resource in chain.from_iterable(everything):
            found.setdefault((resource.kind, resource.name.casefold()), []).append(resource)
        return found


def _nearest(found: Sequence[_Named], near: PurePath | None) -> _Named | None:
    return max(found, key=lambda one: _shared(one.source, near), default=None)


def _shared(one: PurePath, other: PurePath | None) -> int:
    """How many parts two paths begin with in common."""
    pairs = zip(one.parts, other.parts if other else (), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


class _Place(NamedTuple):
    """Where a pipeline stands in its factory."""

    number: int
    source: PurePath


_Named = TypeVar("_Named", _Place, Resource)
