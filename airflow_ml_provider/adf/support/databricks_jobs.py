"""Databricks jobs: definitions, as ``databricks jobs get JOB_ID`` prints them, become activities inside the one that runs the job.

A name here is one of Databricks' Jobs API. Every field of a definition is taken over, left to the connection and Airflow for a
reason (``_LEFT``), or refused.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.expressions import databricks_references
from airflow_ml_provider.adf.expressions.properties import expressions
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.model import HALF_A_DAY, Activity, Branch, Edge, Factory, Job, JobTask, Json, Pipeline, Policy, RunIf
from airflow_ml_provider.adf.support.clusters import databricks_fields, name_of
from airflow_ml_provider.adf.support.spark_programs import TASKS
from airflow_ml_provider.core.errors import SpecError

KIND = "databricksJob"
CONDITION, FOR_EACH, RUN_JOB = "condition_task", "for_each_task", "run_job_task"
_FOR_ALL_TASKS = {**TASKS, RUN_JOB: frozenset(("job_id", "job_parameters"))}
TASK_TYPES = {
    **_FOR_ALL_TASKS,
    CONDITION: frozenset(("op", "left", "right")),
    FOR_EACH: frozenset(("inputs", "concurrency", "task")),
}
"""Tasks that run here, and their fields."""
OPERATORS = ("EQUAL_TO", "NOT_EQUAL", "GREATER_THAN", "GREATER_THAN_OR_EQUAL", "LESS_THAN", "LESS_THAN_OR_EQUAL")
_MOST = 1e12
_AT_ONCE = 100
_NOT_IN_SCOPES = re.compile(r"[^A-Za-z0-9_.-]+")
_TOLD_TO_PEOPLE = ("email_notifications", "webhook_notifications", "notification_settings", "health", "description")
_LEFT = {
    "job": frozenset(
        (
            *_TOLD_TO_PEOPLE,
            *("schedule", "trigger", "continuous"),  # the activity starts the job
            *("max_concurrent_runs", "queue"),  # the pipeline's concurrency is its DAG's
            *("run_as", "tags", "format", "edit_mode", "deployment", "git_source", "budget_policy_id", "performance_target"),
        )
    ),
    "task": frozenset((*_TOLD_TO_PEOPLE, "retry_on_timeout", "disable_auto_optimization")),
}
_KNOWN = {
    "job": frozenset(("name", "tasks", "parameters", "job_clusters", "environments", "timeout_seconds")),
    "task": frozenset(
        (
            *("task_key", "depends_on", "run_if", "job_cluster_key", "new_cluster", "existing_cluster_id", "environment_key"),
            *("libraries", "max_retries", "min_retry_interval_millis", "timeout_seconds", *TASK_TYPES),
        )
    ),
}


def is_definition(document: Mapping[str, Json]) -> bool:
    """Whether a document is a job as ``databricks jobs get`` prints it."""
    settings = document.get("settings")
    return isinstance(settings, Mapping) and ("job_id" in document or isinstance(settings.get("tasks"), list))


def name_in(document: Mapping[str, Json], source: PurePath) -> str:
    """What a definition is found by: its ``job_id``, else the file's name."""
    return str(document.get("job_id") or source.stem)


def with_jobs(factory: Factory) -> Factory:
    """The factory with the tasks of every job whose definition it holds."""
    if not any(one.kind == KIND for one in factory.other):
        return factory
    return replace(factory, pipelines=tuple(_with_jobs(one, factory) for one in factory.pipelines))


def _with_jobs(pipeline: Pipeline, factory: Factory) -> Pipeline:
    ids = Counter(str(pick(one.type_properties, "jobId")) for one in pipeline.walk() if one.type.casefold() == "databricksjob")
    several = {job_id for job_id, count in ids.items() if count > 1}
    inside = (_inside(one, factory, pipeline.source, several) for one in pipeline.activities)
    return replace(pipeline, activities=tuple(inside))


def _inside(activity: Activity, factory: Factory, near: PurePath, several: Collection[str]) -> Activity:
    if activity.type.casefold() == "databricksjob":
        try:
            return with_tasks(activity, factory, near, several)
        except SpecError:
            return activity
    branches = (
        replace(one, activities=tuple(_inside(each, factory, near, several) for each in one.activities))
        for one in activity.branches
    )
    return replace(activity, branches=tuple(branches)) if activity.branches else activity


def refusal(activity: Activity, factory: Factory, near: PurePath) -> str:
    """Why the tasks of an activity's job are not known, or do not run here; empty when they do."""
    try:
        with_tasks(activity, factory, near)
    except SpecError as error:
        return str(error)
    return ""


def with_tasks(activity: Activity, factory: Factory, near: PurePath, several: Collection[str] = ()) -> Activity:
    """An activity that runs a job, with the job's tasks inside.

    :param several: the ids of jobs that several activities of the pipeline run: the clusters of one must not end with another's.
    :raises SpecError: there is no definition of it, or it asks for what does not run here.
    """
    wanted = pick(activity.type_properties, "jobId")
    if found := next(expressions(wanted), None):
        raise SpecError(f"jobId: got the expression {found!r}: takes a number, as the tasks of the job are made before it runs")
    if activity.policy.secure_input:
        definition_of(str(wanted), factory, near)
        raise SpecError("secureInput: the job's parameters would lie open in an XCom: take secrets from a connection instead")
    scope = f"{_NOT_IN_SCOPES.sub('-', activity.name)}/{wanted}" if str(wanted) in several else ""
    return _Reader(activity, str(wanted), factory, near, scope=scope).activity()


def definition_of(job_id: str, factory: Factory, near: PurePath) -> Mapping[str, Json]:
    """A job's definition; :class:`SpecError` that names its file when there is none."""
    found = factory.named(KIND, job_id, near)
    if found is None:
        why, fix = (
            "what the job does is not in an export",
            f"add databricksJob/{job_id}.json, what `databricks jobs get {job_id}` prints",
        )
        raise SpecError(f"DatabricksJob: {why}: {fix}")
    return found.properties


class _Reader:
    """Reads the definition of the job that an activity runs, or a task of another job.

    :param around: the activity or the task.
    :param above: the ids of the jobs around.
    :param scope: what its shared clusters are told from those of other jobs by.
    :param pushed: parameters of the job around.
    """

    def __init__(
        self,
        around: Activity,
        job_id: str,
        factory: Factory,
        near: PurePath,
        *,
        above: tuple[str, ...] = (),
        scope: str = "",
        pushed: Collection[str] = (),
    ) -> None:
        self.around, self.id, self.factory, self.near = around, job_id, factory, near
        self.above, self.scope, self.pushed = (*above, job_id), scope or job_id, pushed
        self.document = definition_of(job_id, factory, near)
        self.where = " of ".join(f"job {one}" for one in reversed(self.above))
        self.settings = _bag(self.document.get("settings"), self.where, "settings")
        self.keys: list[str] = []
        self.parameters: set[str] = set()

    def activity(self) -> Activity:
        _check(self.settings, self.where, "job")
        if self.document.get("has_more") or self.settings.get("has_more"):
            raise SpecError(f"{self.where}: has_more: the file holds a part of the tasks: put those of every page into it")
        raw = _bags(self.settings.get("tasks"), self.where, "tasks")
        if not raw:
            raise SpecError(f"{self.where}: tasks: got none: takes a job of the format MULTI_TASK")
        job = self._job()
        self.keys = [_text(one, self.where, "task_key") for one in raw]
        given = pick(self.around.type_properties, "jobParameters") or self.around.type_properties.get("job_parameters")
        self.parameters = {*job.parameters, *(given if isinstance(given, Mapping) else ()), *self.pushed}
        tasks = tuple(self._task(one, f"{self.where}, task {key!r}") for one, key in zip(raw, self.keys, strict=True))
        self._check_keys(tasks)
        _in_order(tasks, self.where)
        return replace(self.around, branches=(Branch("tasks", tasks),), job=job)

    def _job(self) -> Job:
        found = _bags(self.settings.get("parameters"), self.where, "parameters")
        parameters = {_text(one, self.where, "name"): as_text(one.get("default")) for one in found}
        databricks_references.check(list(parameters.values()), self.where, (), ())
        own, asked = seconds_of(self.around.policy.timeout), _number(self.settings, self.where, "timeout_seconds")
        limit = min(filter(None, (own or HALF_A_DAY, asked)))
        return Job(self.id, str(self.settings.get("name") or self.id), parameters, limit)

    def _check_keys(self, tasks: Iterable[Activity]) -> None:
        each = [one for task in tasks if task.type == FOR_EACH for branch in task.branches for one in branch.activities]
        keys = [*self.keys, *(one.task.key for one in each if one.task)]
        if len(set(keys)) < len(keys):
            raise SpecError(f"{self.where}: task_key: got a key twice: takes keys that differ")

    def _task(self, raw: Mapping[str, Json], where: str, loop: Activity | None = None) -> Activity:
        """A task of the job, or the one that a For each repeats."""
        _check(raw, where, "task")
        takes = _FOR_ALL_TASKS if loop else TASK_TYPES
        kinds = [kind for kind in TASK_TYPES if raw.get(kind) is not None]
        if len(kinds) != 1 or kinds[0] not in takes:
            raise SpecError(f"{where}: got {' and '.join(kinds) or 'no kind of task'}: takes one of {', '.join(takes)}")
        (kind,) = kinds
        asked = _bag(raw.get(kind), where, kind)
        if unknown := sorted(asked.keys() - TASK_TYPES[kind]):
            raise SpecError(f"{where}: {kind}.{unknown[0]}: does not run here: takes {', '.join(sorted(TASK_TYPES[kind]))}")
        if kind == CONDITION and asked.get("op") not in OPERATORS:
            raise SpecError(f"{where}: {kind}.op: got {asked.get('op')!r}: takes {', '.join(OPERATORS)}")
        own = {name: value for name, value in asked.items() if (kind, name) != (FOR_EACH, "task")}
        databricks_references.check(own, where, self.parameters, self.keys, item=loop is not None)
        libraries = [*_bags(raw.get("libraries"), where, "libraries"), *self._environment(raw, where)]
        key, around = _text(raw, where, "task_key"), loop or self.around
        made = Activity(
            name=f"{around.name} / {key}",
            type=kind,
            depends_on=tuple(self._edges(raw, where)),
            policy=_policy(around.policy, raw, where),
            type_properties={**own, **({"libraries": libraries} if libraries else {})},
            path=(*around.path, key),
            linked_service=self.around.linked_service,
            task=replace(self._placed(raw, where, key), loop=loop.name if loop else ""),
        )
        if kind == FOR_EACH:
            return self._for_each(made, asked, where, timed=bool(raw.get("timeout_seconds")))
        return self._other_job(made, asked, where) if kind == RUN_JOB else made

    def _for_each(self, loop: Activity, asked: Mapping[str, Json], where: str, *, timed: bool) -> Activity:
        """A For each with the task that it repeats. One that has a timeout runs in one task of Airflow's, where it holds for all items
        together; so does one whose items come one by one, unless the repeated task is a program on a cluster that is shared anyway.
        """
        at_once = _number(asked, where, f"{FOR_EACH}.concurrency", asked.get("concurrency")) or 1
        if not 1 <= at_once <= _AT_ONCE or at_once % 1:
            raise SpecError(f"{where}: {FOR_EACH}.concurrency: got {at_once:g}: takes 1 to {_AT_ONCE}")
        inputs = _inputs(asked.get("inputs"), where)
        raw = _bag(asked.get("task"), where, f"{FOR_EACH}.task")
        if raw.get("depends_on"):
            raise SpecError(f"{where}: {FOR_EACH}.task.depends_on: takes none: let the For each wait")
        task = self._task(raw, f"{where}, its task", loop)
        in_turn = timed or (at_once == 1 and (task.type == RUN_JOB or not (task.task and task.task.share)))
        properties = {"inputs": inputs, "batchCount": int(at_once), "isSequential": in_turn}
        return replace(loop, type_properties=properties, branches=(Branch("body", (task,)),))

    def _other_job(self, task: Activity, asked: Mapping[str, Json], where: str) -> Activity:
        """A task that runs another job, with that job's tasks inside."""
        job_id = str(asked.get("job_id"))
        _bag(asked.get("job_parameters") or {}, where, f"{RUN_JOB}.job_parameters")
        if job_id in self.above:
            raise SpecError(f"{where}: {RUN_JOB}.job_id: got {job_id}: takes a job that does not run this one")
        scope = f"{self.scope}/{_NOT_IN_SCOPES.sub('-', task.path[-1])}/{job_id}"
        try:
            reader = _Reader(task, job_id, self.factory, self.near, above=self.above, scope=scope, pushed=self.parameters)
        except SpecError as error:
            raise SpecError(f"{where}: {RUN_JOB}: {error}") from None
        return reader.activity()

    def _edges(self, raw: Mapping[str, Json], where: str) -> Iterator[Edge]:
        for one in _bags(raw.get("depends_on"), where, "depends_on"):
            key = _text(one, where, "task_key")
            if key not in self.keys:
                raise SpecError(f"{where}: depends_on: got {key!r}: takes a task of the job")
            yield Edge(f"{self.around.name} / {key}", frozenset())

    def _outcomes(self, raw: Mapping[str, Json], where: str) -> dict[str, str]:
        """The outcomes of conditions that the task waits for."""
        conditions = {one.get("task_key") for one in self.settings["tasks"] if one.get(CONDITION) is not None}
        found: dict[str, str] = {}
        for one in _bags(raw.get("depends_on"), where, "depends_on"):
            outcome = one.get("outcome")
            if outcome is None:
                continue
            if outcome not in ("true", "false") or one["task_key"] not in conditions:
                raise SpecError(f"{where}: depends_on: outcome: got {outcome!r}: takes true or false of a {CONDITION}")
            found[f"{self.around.name} / {one['task_key']}"] = outcome
        return found

    def _placed(self, raw: Mapping[str, Json], where: str, key: str) -> JobTask:
        """The task on its cluster: of its own, of the run under a name, standing, or (serverless) of the run without one."""
        service = self.around.linked_service.name if self.around.linked_service else ""
        asked = raw.get("run_if") or RunIf.ALL_SUCCESS
        if asked not in list(RunIf):
            raise SpecError(f"{where}: run_if: got {asked!r}: takes {', '.join(RunIf)}")
        made = JobTask(self.around.name, key, RunIf(asked), {}, service, outcomes=self._outcomes(raw, where))
        if shared := raw.get("job_cluster_key"):
            return replace(made, cluster=self._job_cluster(shared, where), share=f"{self.scope} {shared}")
        if standing := raw.get("existing_cluster_id"):
            return replace(made, cluster={"name": name_of(str(standing))}, share=str(standing), lasting=True)
        if new := raw.get("new_cluster"):
            return replace(made, cluster=databricks_fields(_bag(new, where, "new_cluster"), f"{where}: new_cluster"))
        return replace(made, share=f"{self.scope} serverless")

    def _job_cluster(self, key: str, where: str) -> Mapping[str, Json]:
        for one in _bags(self.settings.get("job_clusters"), self.where, "job_clusters"):
            if one.get("job_cluster_key") == key:
                cluster = f"{self.where}: job cluster {key!r}"
                return databricks_fields(_bag(one.get("new_cluster"), cluster, "new_cluster"), cluster)
        raise SpecError(f"{where}: job_cluster_key: got {key!r}: takes one of the job's job_clusters")

    def _environment(self, raw: Mapping[str, Json], where: str) -> Iterator[Mapping[str, Json]]:
        """What an environment of serverless compute has installed."""
        key = raw.get("environment_key")
        found = [
            one
            for one in _bags(self.settings.get("environments"), self.where, "environments")
            if one.get("environment_key") == key
        ]
        if key and not found and key != "Default":
            raise SpecError(f"{where}: environment_key: got {key!r}: takes one of the job's environments")
        for one in found if key else ():
            listed = _bag(one.get("spec") or {}, where, "environments.spec").get("dependencies") or []
            if not isinstance(listed, list):
                raise SpecError(f"{where}: environments: dependencies: got {type(listed).__name__}: takes a list")
            for text in listed:
                yield {"whl": str(text)} if str(text).endswith(".whl") else {"pypi": {"package": _requirement(str(text), where)}}


def _inputs(raw: Json, where: str) -> Json:
    """The inputs of a For each, as a list where they are known by now."""
    try:
        return listed_in(raw, where)
    except SpecError:
        if isinstance(raw, str) and "{{" in raw:
            return raw
        raise


def listed_in(raw: Json, where: str) -> list[Json]:
    """The inputs of a For each: a JSON array, or its text."""
    try:
        found = json.loads(raw) if isinstance(raw, str) else raw
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise SpecError(f"{where}: {FOR_EACH}.inputs: got {raw!r}: takes a JSON array, or a reference to one")
    return found


def as_text(value: Any) -> str:
    """A parameter's value, as Databricks hands it on."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _requirement(text: str, where: str) -> str:
    if text.startswith(("-", "/", ".")) or "://" in text:
        raise SpecError(f"{where}: environments: dependencies: got {text!r}: takes packages of PyPI and wheels")
    return text


def _policy(around: Policy, raw: Mapping[str, Json], where: str) -> Policy:
    """The task's own retries, as often as what is around it has some; the shorter of the timeouts."""
    own = _number(raw, where, "max_retries")
    if own < 0:
        raise SpecError(f"{where}: max_retries: got {own:g}: takes a number of attempts that ends")
    again = int(around.retry) if str(around.retry).isdecimal() else 0
    limit = min(filter(None, (seconds_of(around.timeout) or HALF_A_DAY, _number(raw, where, "timeout_seconds"))))
    pause = _number(raw, where, "min_retry_interval_millis") / 1000 if own else around.retry_interval
    return replace(around, retry=int((own + 1) * (again + 1) - 1), retry_interval=pause, timeout=limit)


def _check(raw: Mapping[str, Json], where: str, kind: str) -> None:
    unknown = sorted(name for name in raw if name not in _KNOWN[kind] | _LEFT[kind] and raw[name] not in (None, [], {}, ""))
    if unknown:
        raise SpecError(
            f"{where}: {unknown[0]}: does not run here: register an operator for DatabricksJob, or take it out of the job"
        )


def _in_order(tasks: Iterable[Activity], where: str) -> None:
    left = {one.name: {edge.activity for edge in one.depends_on} for one in tasks}
    while ready := [name for name, names in left.items() if not names & left.keys()]:
        for name in ready:
            del left[name]
    if left:
        raise SpecError(f"{where}: depends_on: the tasks {', '.join(sorted(left))} wait for each other")


def _bag(raw: Any, where: str, field: str) -> Mapping[str, Json]:
    if not isinstance(raw, Mapping):
        raise SpecError(f"{where}: {field}: got {type(raw).__name__}: takes an object")
    return raw


def _bags(raw: Any, where: str, field: str) -> list[Mapping[str, Json]]:
    if raw is not None and not isinstance(raw, list):
        raise SpecError(f"{where}: {field}: got {type(raw).__name__}: takes a list")
    return [_bag(one, where, field) for one in raw or ()]


def _text(raw: Mapping[str, Json], where: str, field: str) -> str:
    found = raw.get(field)
    if not isinstance(found, str) or not found:
        raise SpecError(f"{where}: {field}: got {found!r}: takes a text")
    return found


def _number(raw: Mapping[str, Json], where: str, field: str, value: Json = None) -> float:
    found = value or raw.get(field) or 0
    if isinstance(found, bool) or not isinstance(found, int | float) or abs(found) > _MOST:
        raise SpecError(f"{where}: {field}: got {found!r}: takes a number")
    return float(found)
