"""Databricks jobs: definitions, as ``databricks jobs get JOB_ID`` prints them, become activities inside the one that runs the job.

A name here is one of Databricks' Jobs API. Every field of a definition is taken over, left to the connection and Airflow for a
reason (``_LEFT``), or refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from airflow_ml_provider.adf import references
from airflow_ml_provider.adf.clusters import databricks_fields, name_of
from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.graph import HALF_A_DAY, Activity, Branch, Edge, Factory, Job, JobTask, Json, Pipeline, Policy, RunIf
from airflow_ml_provider.adf.programs import TASKS
from airflow_ml_provider.adf.reading import pick
from airflow_ml_provider.adf.values import expressions
from airflow_ml_provider.core.errors import SpecError

KIND = "databricksJob"
CONDITION = "condition_task"
TASK_TYPES = {**TASKS, CONDITION: frozenset(("op", "left", "right"))}
"""Tasks that run here, and their fields."""
OPERATORS = ("EQUAL_TO", "NOT_EQUAL", "GREATER_THAN", "GREATER_THAN_OR_EQUAL", "LESS_THAN", "LESS_THAN_OR_EQUAL")
_MOST = 1e12
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
    return replace(pipeline, activities=tuple(_inside(one, factory, pipeline.source) for one in pipeline.activities))


def _inside(activity: Activity, factory: Factory, near: PurePath) -> Activity:
    if activity.type.casefold() == "databricksjob":
        try:
            return with_tasks(activity, factory, near)
        except SpecError:
            return activity
    branches = (
        replace(one, activities=tuple(_inside(each, factory, near) for each in one.activities)) for one in activity.branches
    )
    return replace(activity, branches=tuple(branches)) if activity.branches else activity


def refusal(activity: Activity, factory: Factory, near: PurePath) -> str:
    """Why the tasks of an activity's job are not known, or do not run here; empty when they do."""
    try:
        with_tasks(activity, factory, near)
    except SpecError as error:
        return str(error)
    return ""


def with_tasks(activity: Activity, factory: Factory, near: PurePath) -> Activity:
    """An activity that runs a job, with the job's tasks inside.

    :raises SpecError: there is no definition of it, or it asks for what does not run here.
    """
    wanted = pick(activity.type_properties, "jobId")
    if found := next(expressions(wanted), None):
        raise SpecError(f"jobId: got the expression {found!r}: takes a number, as the tasks of the job are made before it runs")
    definition = factory.named(KIND, str(wanted), near)
    if definition is None:
        why, fix = (
            "what the job does is not in an export",
            f"add databricksJob/{wanted}.json, what `databricks jobs get {wanted}` prints",
        )
        raise SpecError(f"DatabricksJob: {why}: {fix}")
    if activity.policy.secure_input:
        raise SpecError("secureInput: the job's parameters would lie open in an XCom: take secrets from a connection instead")
    return _Reader(activity, str(wanted), definition.properties).activity()


class _Reader:
    """Reads the definition of the job that an activity runs."""

    def __init__(self, activity: Activity, job_id: str, document: Mapping[str, Json]) -> None:
        self.around, self.id, self.document = activity, job_id, document
        self.where = f"job {job_id}"
        self.settings = _bag(document.get("settings"), self.where, "settings")

    def activity(self) -> Activity:
        _check(self.settings, self.where, "job")
        if self.document.get("has_more") or self.settings.get("has_more"):
            raise SpecError(f"{self.where}: has_more: the file holds a part of the tasks: put those of every page into it")
        raw = _bags(self.settings.get("tasks"), self.where, "tasks")
        if not raw:
            raise SpecError(f"{self.where}: tasks: got none: takes a job of the format MULTI_TASK")
        job = self._job()
        keys = [_text(one, self.where, "task_key") for one in raw]
        given = pick(self.around.type_properties, "jobParameters")
        known = {*job.parameters, *(given if isinstance(given, Mapping) else ())}
        tasks = tuple(self._task(one, f"{self.where}, task {key!r}", keys, known) for one, key in zip(raw, keys, strict=True))
        if len(set(keys)) < len(keys):
            raise SpecError(f"{self.where}: task_key: got a key twice: takes keys that differ")
        _in_order(tasks, self.where)
        return replace(self.around, branches=(Branch("tasks", tasks),), job=job)

    def _job(self) -> Job:
        found = _bags(self.settings.get("parameters"), self.where, "parameters")
        parameters = {_text(one, self.where, "name"): as_text(one.get("default")) for one in found}
        references.check(list(parameters.values()), self.where, (), ())
        own, asked = seconds_of(self.around.policy.timeout), _number(self.settings, self.where, "timeout_seconds")
        limit = min(filter(None, (own or HALF_A_DAY, asked)))
        return Job(self.id, str(self.settings.get("name") or self.id), parameters, limit)

    def _task(self, raw: Mapping[str, Json], where: str, keys: list[str], parameters: set[str]) -> Activity:
        _check(raw, where, "task")
        kinds = [kind for kind in TASK_TYPES if raw.get(kind) is not None]
        if len(kinds) != 1:
            raise SpecError(f"{where}: got {' and '.join(kinds) or 'no kind of task'}: takes one of {', '.join(TASK_TYPES)}")
        (kind,) = kinds
        asked = _bag(raw.get(kind), where, kind)
        if unknown := sorted(asked.keys() - TASK_TYPES[kind]):
            raise SpecError(f"{where}: {kind}.{unknown[0]}: does not run here: takes {', '.join(sorted(TASK_TYPES[kind]))}")
        if kind == CONDITION and asked.get("op") not in OPERATORS:
            raise SpecError(f"{where}: {kind}.op: got {asked.get('op')!r}: takes {', '.join(OPERATORS)}")
        references.check(asked, where, parameters, keys)
        libraries = [*_bags(raw.get("libraries"), where, "libraries"), *self._environment(raw, where)]
        key = _text(raw, where, "task_key")
        return Activity(
            name=self._name(key),
            type=kind,
            depends_on=tuple(self._edges(raw, where, keys)),
            policy=self._policy(raw, where),
            type_properties={**asked, **({"libraries": libraries} if libraries else {})},
            path=(*self.around.path, key),
            task=self._placed(raw, where, key),
        )

    def _name(self, key: str) -> str:
        return f"{self.around.name} / {key}"

    def _edges(self, raw: Mapping[str, Json], where: str, keys: list[str]) -> Iterator[Edge]:
        for one in _bags(raw.get("depends_on"), where, "depends_on"):
            key = _text(one, where, "task_key")
            if key not in keys:
                raise SpecError(f"{where}: depends_on: got {key!r}: takes a task of the job")
            yield Edge(self._name(key), frozenset())

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
            found[self._name(one["task_key"])] = outcome
        return found

    def _policy(self, raw: Mapping[str, Json], where: str) -> Policy:
        """The task's own retries, as often as the activity's; the shorter of the timeouts."""
        policy, own = self.around.policy, _number(raw, where, "max_retries")
        if own < 0:
            raise SpecError(f"{where}: max_retries: got {own:g}: takes a number of attempts that ends")
        again = int(policy.retry) if str(policy.retry).isdecimal() else 0
        limit = min(filter(None, (seconds_of(policy.timeout) or HALF_A_DAY, _number(raw, where, "timeout_seconds"))))
        pause = _number(raw, where, "min_retry_interval_millis") / 1000 if own else policy.retry_interval
        return replace(policy, retry=int((own + 1) * (again + 1) - 1), retry_interval=pause, timeout=limit)

    def _placed(self, raw: Mapping[str, Json], where: str, key: str) -> JobTask:
        """The task on its cluster: of its own, of the run under a name, standing, or (serverless) of the run without one."""
        service = self.around.linked_service.name if self.around.linked_service else ""
        asked = raw.get("run_if") or RunIf.ALL_SUCCESS
        if asked not in list(RunIf):
            raise SpecError(f"{where}: run_if: got {asked!r}: takes {', '.join(RunIf)}")
        made = JobTask(self.around.name, key, RunIf(asked), {}, service, outcomes=self._outcomes(raw, where))
        if shared := raw.get("job_cluster_key"):
            return replace(made, cluster=self._job_cluster(shared, where), share=f"{self.id} {shared}")
        if standing := raw.get("existing_cluster_id"):
            return replace(made, cluster={"name": name_of(str(standing))}, share=str(standing), lasting=True)
        if new := raw.get("new_cluster"):
            return replace(made, cluster=databricks_fields(_bag(new, where, "new_cluster"), f"{where}: new_cluster"))
        return replace(made, share=f"{self.id} serverless")

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


def as_text(value: Any) -> str:
    """A parameter's value, as Databricks hands it on."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _requirement(text: str, where: str) -> str:
    if text.startswith(("-", "/", ".")) or "://" in text:
        raise SpecError(f"{where}: environments: dependencies: got {text!r}: takes packages of PyPI and wheels")
    return text


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


def _number(raw: Mapping[str, Json], where: str, field: str) -> float:
    found = raw.get(field) or 0
    if isinstance(found, bool) or not isinstance(found, int | float) or abs(found) > _MOST:
        raise SpecError(f"{where}: {field}: got {found!r}: takes a number")
    return float(found)
