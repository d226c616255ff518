"""Data Factory pipelines as DAGs: ``adf_dags("../include/adf")`` in a DAG file."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, TaskGroup, get_parsing_context, task_group

from airflow_ml_provider.adf.airflow.dag_params import params_of
from airflow_ml_provider.adf.airflow.fallback_connections import StandIns, stand_in
from airflow_ml_provider.adf.airflow.hosted_activities import REGISTERED, Hosted, TaskFactory, register
from airflow_ml_provider.adf.airflow.operators.activity import AdfActivityOperator
from airflow_ml_provider.adf.airflow.operators.begin import begin_task, upstream
from airflow_ml_provider.adf.airflow.operators.clusters import AdfClusterOperator, AdfEndOfJobOperator
from airflow_ml_provider.adf.airflow.operators.containers import AdfEndOperator, AdfEnterOperator
from airflow_ml_provider.adf.airflow.operators.hosted import AdfFinishOperator, AdfPrepareOperator
from airflow_ml_provider.adf.airflow.operators.pipeline_end import AdfPipelineEndOperator
from airflow_ml_provider.adf.airflow.operators.rerun import again_dag
from airflow_ml_provider.adf.airflow.policies import policy_fields
from airflow_ml_provider.adf.airflow.schedule import schedule_fields
from airflow_ml_provider.adf.airflow.spark_tasks import Overrides, conversion_tasks, in_a_loop, spark_tasks
from airflow_ml_provider.adf.airflow.task_index import Place, Spot, Within
from airflow_ml_provider.adf.export.cache import load_cached
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.model import LOOPS, Activity, Factory, Key, Pipeline
from airflow_ml_provider.adf.naming import dag_ids, free_id, slug
from airflow_ml_provider.adf.support import databricks_jobs, spark_programs
from airflow_ml_provider.adf.support.copies import conversion_refusal
from airflow_ml_provider.adf.support.verdicts import refusal
from airflow_ml_provider.adf.triggers.cut_over import StartFrom, begun, read_start_from
from airflow_ml_provider.adf.triggers.events import Blobs, Events
from airflow_ml_provider.adf.triggers.reader import starts
from airflow_ml_provider.adf.triggers.windows import Windows
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import MountOrId

__all__ = ["adf_dags", "pipeline_dag", "register"]

log = logging.getLogger(__name__)
_BATCH = 20
_PARALLEL_AT_MOST = 50
_END = "pipeline_end"
_AGAIN = "__again"
_CONTAINERS = frozenset(("ifcondition", "switch")) | LOOPS
_WRITERS = ("setvariable", "appendvariable")


def adf_dags(
    path: str | os.PathLike[str],
    *,
    prefix: str = "",
    programs_path: str | os.PathLike[str] | None = None,
    clusters: Overrides | None = None,
    mounts: Sequence[MountOrId] = (),
    stand_ins: StandIns | None = None,
    watch_interval: float = 30.0,
    start_from: StartFrom = None,
    factory_name: str = "",
    **dag_fields: Any,
) -> dict[str, DAG]:
    """A DAG for each pipeline of an export, by its id. Airflow finds them without a variable of the DAG file, as it finds each DAG of a
    ``with`` block. A pipeline whose activities wait for each other makes none. Where a task runs, only the task's own DAG is made.

    :param path: a Git-mode folder, a pipeline's file or an ARM template; relative to the calling file.
    :param prefix: of the DAGs' ids.
    :param programs_path: the folder of the notebooks and programs that the activities name; by default ``path`` itself.
    :param clusters: fields of a :class:`~airflow_ml_provider.core.spec.ClusterSpec` by the name of a linked service, a Spark pool or a job's cluster,
        in the place of what the export says of its cluster.
    :param mounts: what every Spark activity's cluster has mounted, as a Databricks workspace has its mounts.
    :param stand_ins: by a connection's id, the mount, or the URI or JSON of a connection, that it is until Airflow has a connection of this id.
    :param watch_interval: seconds between looks for blobs that start a pipeline.
    :param start_from: from when on the triggers start their pipelines here: a date and time, or such by the names of triggers. Windows that
        begin earlier are never handled here. Without it, a trigger begins with its first time, or its first window to end, after the DAG was unpaused.
    :param factory_name: what ``pipeline().DataFactory`` is; by default the name that the export has, of the file of its factory or a
        template's ``factoryName``, else the name of the folder.
    :param dag_fields: of every DAG, before those that come from the export.
    """
    here = Path(inspect.stack()[1].frame.f_globals.get("__file__", ".")).parent
    folder = Path(here, path).resolve()
    factory = load_cached(folder)
    files = Path(here, programs_path).resolve() if programs_path else folder
    ids = dag_ids(factory.pipeline_names, prefix)
    places: dict[str, Any] = {"factory_name": factory_name, "files": files, "clusters": clusters or {}, "mounts": mounts}
    given = {
        "ids": ids,
        "prefix": prefix,
        "watch_interval": watch_interval,
        "since": read_start_from(start_from, factory),
        **places,
        **dag_fields,
    }
    if stand_ins:
        given["default_args"] = {"pre_execute": stand_in(stand_ins), **dag_fields.get("default_args", {})}
    wanted = get_parsing_context().dag_id  # of the task that runs here; None in the DAG processor
    numbers = [number for number, one in enumerate(factory.pipeline_names) if _may_make(ids[one.key], wanted)]
    pipelines = [one for one in (factory.pipelines[number] for number in numbers) if not _refused(one)]
    dags = {ids[one.key]: pipeline_dag(one, factory, **given) for one in pipelines if wanted in (None, ids[one.key])}
    return dags | {dag_id: dag for dag_id, dag in _again(factory, pipelines, ids).items() if wanted in (None, dag_id)}


def _may_make(dag_id: str, wanted: str | None) -> bool:
    return wanted is None or wanted == dag_id or wanted.startswith(f"{dag_id}{_AGAIN}")


def _again(factory: Factory, pipelines: Iterable[Pipeline], ids: Mapping[Key, str]) -> dict[str, DAG]:
    """The DAGs that have windows handled again, of pipelines whose triggers ask for it."""
    found: dict[str, DAG] = {}
    for pipeline in pipelines:
        windows = next((one.timing for one in starts(factory, pipeline)[0] if isinstance(one.timing, Windows)), None)
        if windows and windows.retries:
            made = again_dag(_again_id(ids[pipeline.key], ids), windows)
            found[made.dag_id] = made
    return found


def _again_id(dag_id: str, ids: Mapping[Key, str]) -> str:
    return free_id(f"{dag_id}{_AGAIN}", {one.casefold() for one in ids.values()})


def _refused(pipeline: Pipeline) -> bool:
    why = refusal(pipeline)
    if why:
        log.warning("Pipeline %r of %s makes no DAG: %s", pipeline.name, pipeline.source, why)
    return bool(why)


def pipeline_dag(
    pipeline: Pipeline,
    factory: Factory,
    ids: Mapping[Key, str] | None = None,
    files: Path = Path(),
    clusters: Overrides | None = None,
    mounts: Sequence[MountOrId] = (),
    prefix: str = "",
    watch_interval: float = 30.0,
    since: datetime | Mapping[str, datetime] | None = None,
    factory_name: str = "",
    **dag_fields: Any,
) -> DAG:
    """The DAG of one pipeline.

    Every activity is a task of its name, or a group. The DAG's only leaf ends as the pipeline ends by Data Factory's rules, and so
    does the run: failures that the pipeline handles leave it successful.

    :param ids: of the DAGs of the pipelines that this one may start, by the pipelines' keys.
    :param files: the folder of the programs that its activities name.
    :param prefix: of the names of the assets that its triggers' events update.
    :param watch_interval: seconds between looks for blobs that start it.
    :param since: from when on its triggers count: all, or by their lower-case names.
    :param factory_name: as in :func:`adf_dags`.
    """
    found, refusals = starts(factory, pipeline)
    found = begun(found, since)
    by = tuple(one for one in found if one.active) or tuple(found)
    refusals += [f"trigger {one.trigger!r} is stopped" for one in found if not one.active]
    assets = {f"{prefix}{one.label}": one for one in by if isinstance(one.timing, Blobs | Events)}
    ids = dict(ids or dag_ids([pipeline]))
    limit = {"max_active_runs": pipeline.concurrency} if pipeline.concurrency else {}
    fields: dict[str, Any] = {
        "catchup": False,
        "description": pipeline.description or None,
        "tags": ["adf", *pipeline.annotations],
        "doc_md": _told(pipeline, refusals),
        **schedule_fields(by, factory, prefix, watch_interval),
        **limit,
        **dag_fields,
        "params": {**params_of(pipeline.parameters, scheduled=bool(by)), **dag_fields.get("params", {})},
    }
    with DAG(dag_id=ids[pipeline.key], **fields) as dag:
        again = _again_id(dag.dag_id, ids) if any(isinstance(one.timing, Windows) and one.timing.retries for one in by) else ""
        name = factory_name or factory.name_near(pipeline.source) or files.name
        place = Place(factory, pipeline, files, ids, clusters or {}, mounts, by, since, again, name)
        _Tasks(place).all(begin_task(assets, upstream(by, place)))
    return dag


def _told(pipeline: Pipeline, refusals: Iterable[str]) -> str:
    """What a person should know, for the DAG's page."""
    told = [*map(str, pipeline.problems), *refusals]
    lines = [f"Pipeline `{pipeline.name}` of `{pipeline.source}`.", *(f"- {one}" for one in told)]
    return "\n".join(lines)


class _Tasks:
    """Makes the tasks of one pipeline in the DAG that is being defined."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.around: tuple[Within, ...] = ()
        self.loop: str | None = None
        self.batch: int | None = None
        self.taken: dict[str, set[str]] = {}
        self.ending: set[str] = set()
        self.firsts: dict[str, Any] = {}

    def all(self, begin: Any) -> None:
        """Everything between the task ``begin``, which may be none, and the pipeline's end."""
        if begin is not None:
            self.taken[""] = {begin.task_id}
            self.place.begin = self._spot(begin)
        ends = self._side_by_side(self.place.pipeline.activities, begin)
        last = AdfPipelineEndOperator(task_id=_END, place=self.place, retries=0)
        for end in ends or ([begin] if begin is not None else []):
            end >> last

    def _side_by_side(self, activities: Sequence[Activity], enter: Any) -> list[Any]:
        """The tasks of activities that stand beside each other; returns their last ones."""
        pieces = {activity.name: self._piece(activity) for activity in activities}
        self.firsts |= {name: first for name, (first, _) in pieces.items()}
        for activity in activities:
            before = [pieces[edge.activity][1] for edge in activity.depends_on if edge.activity in pieces]
            for task in before or ([enter] if enter is not None else []):
                task >> pieces[activity.name][0]
        return [end for _, end in pieces.values()]

    def _piece(self, activity: Activity) -> tuple[Any, Any]:
        """The first and the last task of an activity."""
        kind = activity.type.casefold()
        if kind == "until" or (kind in LOOPS and not self._maps(activity)):
            return self._one_task(activity)
        if kind in _CONTAINERS:
            return self._container(activity)
        if kind in REGISTERED:
            return self._hosted(activity, REGISTERED[kind])
        if kind in ("databricksjob", databricks_jobs.RUN_JOB):
            return self._job(activity)
        if kind in spark_programs.SPARK:
            return self._spark(activity)
        place = self.place
        if make := conversion_tasks(activity, place):
            return self._hosted(activity, make, converts=True)
        return self._one_task(activity, conversion_refusal(activity, place.pipeline, place.factory) or None)

    def _maps(self, activity: Activity) -> bool:
        """Whether a ForEach becomes a mapped group: Airflow maps neither one after the other nor inside a mapped group."""
        inside = [one for branch in activity.branches for one in branch.activities]
        return self.loop is None and bool(inside) and pick(activity.type_properties, "isSequential") is not True

    def _id(self, activity: Activity, group: str = "") -> str:
        name = activity.task.key if activity.task else activity.name
        return self._free_id(name if name.casefold() != _END else f"{name}_", group)

    def _free_id(self, name: str, group: str) -> str:
        return free_id(slug(name), self.taken.setdefault(group, set()))

    def _one_task(self, activity: Activity, refusal: str | None = None) -> tuple[Any, Any]:
        fields = {**self._common(activity), **policy_fields(activity)}
        self._plan_inside(activity)
        task = AdfActivityOperator(task_id=self._id(activity, self._group()), refusal=refusal, **fields)
        self.place.ends[activity.name] = self._spot(task)
        if activity.type.casefold() in _WRITERS or any(one.type.casefold() in _WRITERS for one in activity.within()):
            self.place.writers.append(self._spot(task))
        return task, task

    def _container(self, activity: Activity) -> tuple[Any, Any]:
        with TaskGroup(self._id(activity, self._group()), tooltip=activity.description) as group:
            enter = AdfEnterOperator(task_id="enter", **self._common(activity))
            self.place.enters[activity.name] = self._spot(enter)
            ends = self._mapped(activity, enter) if activity.type.casefold() in LOOPS else self._branches(activity, enter)
            end = AdfEndOperator(task_id="end", **self._common(activity))
            self.place.ends[activity.name] = self._spot(end)
            for task in ends or [enter]:
                task >> end
            if activity.job:
                self._end_of_clusters(group)
        return enter, end

    def _job(self, activity: Activity) -> tuple[Any, Any]:
        """The tasks of a Databricks job, and the end of the clusters that they share."""
        if activity.job is None:
            return self._one_task(activity, databricks_jobs.refusal(activity, self.place.factory, self.place.pipeline.source))
        self.place.jobs[activity.name] = activity.branches[0].activities
        return self._container(activity)

    def _end_of_clusters(self, group: TaskGroup) -> None:
        """A teardown for each cluster that tasks of a job share in a run. Its makers are no setups: Airflow would fail what follows one
        that is skipped.
        """
        makers: dict[str, list[AdfClusterOperator]] = {}
        for task in group.iter_tasks():
            if isinstance(task, AdfClusterOperator) and task.of_run and task.task_id not in self.ending:
                self.ending.add(task.task_id)
                makers.setdefault(task.share, []).append(task)
        for share, found in makers.items():
            end = AdfEndOfJobOperator(task_id=self._free_id(f"end_of_{share}", str(group.group_id)), maker=found[0])
            for task in [one for maker in found for one in (maker, *maker.downstream_list)]:
                task >> end
            end.as_teardown()

    def _branches(self, activity: Activity, enter: Any) -> list[Any]:
        before, ends = self.around, []
        for branch in activity.branches:
            self.around = (*before, Within(activity.name, branch.label))
            ends += self._side_by_side(branch.activities, enter)
        self.around = before
        return ends

    def _mapped(self, activity: Activity, enter: Any) -> list[Any]:
        ends: list[Any] = []

        @task_group(group_id="each")
        def each(item: Any) -> None:
            ends.extend(self._branches(activity, enter))

        count = pick(activity.type_properties, "batchCount")
        self.loop, self.batch = activity.name, min(count, _PARALLEL_AT_MOST) if isinstance(count, int) and count > 0 else _BATCH
        each.expand(item=enter.output)
        self._pages(activity)
        self.loop = self.batch = None
        return ends

    def _pages(self, activity: Activity) -> None:
        """Have the first task inside a loop run pages of items, where there are more than Airflow maps over."""
        inside = [one for branch in activity.branches for one in branch.activities]
        runner = self.firsts[next(one for one in inside if not one.depends_on or one is inside[-1]).name]
        runner.loop_of_pages = activity
        self.place.page_runners[activity.name] = self._spot(runner)
        self._plan_inside(activity)
        if any(one.type.casefold() in _WRITERS for one in activity.within()) and self._spot(runner) not in self.place.writers:
            self.place.writers.append(self._spot(runner))

    def _plan_inside(self, activity: Activity) -> None:
        """The clusters of Spark activities that run inside one task."""
        for one in activity.within():
            if wanted := in_a_loop(one, self.place):
                self.place.wanted[one.name] = wanted

    def _spark(self, activity: Activity) -> tuple[Any, Any]:
        """A cluster and the program on it; what the export asks for that has no meaning here is refused when it is reached."""
        place = self.place
        try:
            make = spark_tasks(activity, place)
        except SpecError as error:
            return self._one_task(activity, str(error))
        return self._hosted(activity, make)

    def _hosted(self, activity: Activity, make: TaskFactory, *, converts: bool = False) -> tuple[Any, Any]:
        group = TaskGroup(self._id(activity, self._group()), tooltip=activity.description)
        with group:
            prepare = AdfPrepareOperator(task_id="prepare", converts=converts, **self._common(activity))
            hosted = Hosted(activity, self.place.factory, prepare.output, {**policy_fields(activity), **self._batch})
            result = make(hosted)
            inside = [task for task in group.iter_tasks() if task is not prepare]
            for task in inside:
                if prepare.task_id not in task.upstream_task_ids and not task.upstream_task_ids:
                    prepare >> task
            judged = [prepare.task_id, *(task.task_id for task in inside if not task.is_teardown)]
            output = getattr(result, "task_id", None)
            finish = AdfFinishOperator(task_id="finish", inside=judged, result=output, **self._common(activity))
            self.place.ends[activity.name] = self._spot(finish)
            if result is not None:
                self.place.results[activity.name] = self._spot(result)
            for task in inside:
                if not task.is_teardown and not task.is_setup:
                    task >> finish
        return prepare, finish

    def _group(self) -> str:
        """The group that is being defined, for ids that are free in it."""
        from airflow.sdk.definitions._internal.contextmanager import TaskGroupContext

        group = TaskGroupContext.get_current(None)
        return str(group.group_id) if group else ""

    def _common(self, activity: Activity) -> dict[str, Any]:
        shown = (
            {"task_display_name": activity.task.key if activity.task else activity.name}
            if activity.type.casefold() not in _CONTAINERS and not activity.job
            else {}
        )
        return {
            "activity": activity,
            "place": self.place,
            "around": self.around,
            "loop": self.loop,
            "retries": 0,
            **self._batch,
            **shown,
        }

    @property
    def _batch(self) -> dict[str, Any]:
        return {"max_active_tis_per_dagrun": self.batch} if self.batch else {}

    def _spot(self, task: Any) -> Spot:
        return Spot(task.task_id, self.loop is not None)
