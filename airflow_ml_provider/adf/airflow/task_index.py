"""Where an activity stands among the tasks of its DAG. Built while the DAG is parsed, and never changed afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_ml_provider.adf.model import Activity, Factory, Key, Pipeline
from airflow_ml_provider.adf.support.clusters import Wanted
from airflow_ml_provider.adf.triggers.reader import Start


@dataclass(frozen=True, slots=True)
class Spot:
    """A task, and whether it is in a mapped task group."""

    task_id: str
    mapped: bool = False


@dataclass
class Place:
    """One pipeline's tasks.

    :param programs: the folder of the programs and notebooks that activities name.
    :param dag_ids: of every pipeline that is a DAG, by its key.
    :param clusters: fields of clusters by linked service or pool, in the place of what the export says.
    :param mounts: of every cluster for a Spark activity.
    :param starts: the triggers that the DAG is scheduled by.
    :param since: from when on triggers count here: all, or by their lower-case names.
    :param again: the DAG that has a window handled again; empty where none is.
    :param data_factory: what ``pipeline().DataFactory`` is.
    :param begin: the task before all others, where a trigger asks for one.
    :param ends: the task whose state is the activity's, by the activity's name.
    :param enters: of a container, the task that judges its condition or its items.
    :param writers: the tasks that set variables.
    :param results: of an activity that runs a program, the task whose XComs are the program's.
    :param wanted: the clusters of activities in a loop that is one task, by the activity's name; or why there is none.
    :param page_runners: of a mapped loop, the task inside that runs all of a page, by the loop's name.
    :param jobs: the tasks of Databricks jobs, by the name of the activity that runs the job.
    """

    factory: Factory
    pipeline: Pipeline
    programs: Path = Path()
    dag_ids: dict[Key, str] = field(default_factory=dict)
    clusters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mounts: Sequence[Any] = ()
    starts: tuple[Start, ...] = ()
    since: datetime | Mapping[str, datetime] | None = None
    again: str = ""
    data_factory: str = ""
    begin: Spot | None = None
    ends: dict[str, Spot] = field(default_factory=dict)
    enters: dict[str, Spot] = field(default_factory=dict)
    writers: list[Spot] = field(default_factory=list)
    results: dict[str, Spot] = field(default_factory=dict)
    wanted: dict[str, Wanted | str] = field(default_factory=dict)
    page_runners: dict[str, Spot] = field(default_factory=dict)
    jobs: dict[str, tuple[Activity, ...]] = field(default_factory=dict)

    def pipeline_of(self, name: str) -> Pipeline | None:
        """The pipeline that this one means by a name."""
        return self.factory.pipeline(name, self.pipeline.source)

    def dag_id_of(self, pipeline: str) -> str | None:
        """The id of the DAG of a pipeline that this one calls; None where it is no DAG."""
        called = self.pipeline_of(pipeline)
        return self.dag_ids.get(called.key) if called else None


@dataclass(frozen=True, slots=True)
class Within:
    """A container around a task, and the branch of it that the task is in."""

    container: str
    branch: str
