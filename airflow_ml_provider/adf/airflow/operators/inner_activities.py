"""Activities that run inside one task: the inside of an Until, of a sequential ForEach, and of loops in loops."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import count
from typing import Any

from airflow_ml_provider.adf.airflow.activities.control import ActivityFailed, Call, items_of, limited, truth
from airflow_ml_provider.adf.airflow.activities.databricks_job import inputs_of, job_output, job_run, timeout_of
from airflow_ml_provider.adf.airflow.activities.databricks_job import taken as conditions_of
from airflow_ml_provider.adf.airflow.activities.registry import action_of
from airflow_ml_provider.adf.airflow.activity_facts import facts, now
from airflow_ml_provider.adf.airflow.run_state import error_of, record
from airflow_ml_provider.adf.airflow.secure_values import is_secure, told_of
from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.model import HALF_A_DAY, WITHOUT_POLICY, Activity, Condition
from airflow_ml_provider.adf.rules import dependencies
from airflow_ml_provider.adf.support.databricks_jobs import FOR_EACH, RUN_JOB
from airflow_ml_provider.core.errors import ProviderError


class Killed(ProviderError):
    """Airflow asked for the task's end: nothing more of the loop runs."""


_WEEK = 7 * 24 * 3600.0


def run_container(call: Call) -> Any:
    """Run a container's inside to its end; :class:`ActivityFailed` when it fails."""
    return _CONTAINERS[call.activity.type.casefold()](call)


def taken(call: Call) -> str | None:
    """The label of the branch that an If or a Switch takes."""
    activity = call.activity
    if activity.type.casefold() == "ifcondition":
        return "true" if truth(call, "expression", call("expression")) else "false"
    value = str(call.required("on"))
    labels = [branch.label for branch in activity.branches if branch.kind == "case" and branch.value == value]
    return labels[0] if labels else "default"


def run_inside(call: Call, activities: Sequence[Activity]) -> None:
    """Run activities one by one, each after what it waits for; :class:`ActivityFailed` when their verdict is Failed."""
    statuses: dict[str, Condition] = {}
    for activity in dependencies.in_order(activities):
        if call.view.inner.killed:
            raise Killed(f"activity {call.activity.name!r}: the task was killed before {activity.name!r}")
        reached = dependencies.is_reached(activity, activities, statuses, conditions_of(call.view, activities))
        found = _one(call.of(activity)) if reached else record(Condition.SKIPPED)
        statuses[activity.name] = Condition(found["status"])
        call.view.local[activity.name] = found
        call.log.info("%s: %s", " / ".join(activity.path), found["status"])
    if dependencies.verdict(activities, statuses, conditions_of(call.view, activities)) is Condition.FAILED:
        failed = [name for name, status in statuses.items() if status is Condition.FAILED]
        secure = {one.name for one in activities if is_secure(one)}
        errors = {name: "" if name in secure else call.view.record(name)["error"].get("message", "") for name in failed}
        messages = "; ".join(f"{name}: {message}" for name, message in errors.items())
        raise ActivityFailed(f"activity {call.activity.name!r}: its inside failed ({messages})")


def _one(call: Call) -> dict[str, Any]:
    """The record of one activity, after its retries."""
    activity, policy = call.activity, call.activity.policy
    if not activity.active:
        return record(activity.on_inactive_mark_as)
    repeats_inside = activity.job is not None or activity.type == FOR_EACH
    retries = 0 if repeats_inside else int(call.view.resolve(policy.retry) or 0)
    began = now()
    for attempt in range(retries + 1):
        call.view.attempt = (attempt, retries + 1)
        try:
            output = run_container(call) if activity.branches else _in_time(call)
            about = facts(activity, call.view.activity_run_id(activity), began)
            return record(Condition.SUCCEEDED, output=output, secure=bool(policy.secure_output), facts=about)
        except Killed:
            raise
        except ProviderError as error:
            call.log.warning("%s", told_of(activity) if is_secure(activity) else f"{activity.name} failed: {error}")
            failure, output = error_of(error), getattr(error, "output", None)
        except Exception as error:
            call.log.warning("%s failed", activity.name, exc_info=not is_secure(activity))
            failure, output = error_of(error), getattr(error, "output", None)
        if call.view.inner.killed:
            raise Killed(failure["message"])
        if attempt < retries:
            time.sleep(float(call.view.resolve(policy.retry_interval) or 0))
    about = facts(activity, call.view.activity_run_id(activity), began)
    return record(Condition.FAILED, output=output, error=failure, secure=is_secure(activity), facts=about)


def _in_time(call: Call) -> Any:
    """What an activity's action gives, within the timeout of its policy."""
    act = action_of(call.activity)
    if call.activity.type.casefold() in WITHOUT_POLICY:
        return act(call)
    return limited(call, seconds_of(call.view.resolve(call.activity.policy.timeout)) or HALF_A_DAY, lambda: act(call))


def _branch(call: Call) -> Any:
    label = taken(call)
    for branch in call.activity.branches:
        if branch.label == label:
            run_inside(call, branch.activities)
    return {}


def _for_each(call: Call) -> Any:
    """Every item runs, also after one that failed."""
    return run_items(call, items_of(call))


def _for_each_task(call: Call) -> Any:
    """The items of a Databricks job's For each, one by one, within its timeout."""
    return limited(call, timeout_of(call.activity), lambda: run_items(call, inputs_of(call)))


def run_items(call: Call, items: list[Any]) -> Any:
    """Run a loop's inside for each item, also after one that failed; :class:`ActivityFailed` when one did."""
    view = call.view
    before, failures = view.item, []
    try:
        for number, item in enumerate(items):
            view.item = item
            try:
                _round(call, number)
            except ActivityFailed as error:
                failures.append(str(error))
    finally:
        view.item = before
    if failures:
        raise ActivityFailed(f"{len(failures)} of {len(items)} items failed: {failures[0]}")
    return {"count": len(items)}


def _until(call: Call) -> Any:
    """Rounds until the expression is true, also after a round that failed; it ends as the last round did. Its timeout ends it in the midst
    of a round.
    """
    seconds = seconds_of(call("timeout")) or _WEEK
    return limited(call, seconds, lambda: _rounds(call, time.monotonic() + seconds), ", and its expression was still false")


def _rounds(call: Call, deadline: float) -> Any:
    expression = pick(call.activity.type_properties, "expression")
    for rounds in count(1):
        failure = _failure(call, rounds)
        if truth(call, "expression", call.view.resolve(expression)):
            if failure:
                raise failure
            return {"rounds": rounds}
        if time.monotonic() > deadline:
            raise ActivityFailed(f"activity {call.activity.name!r}: its expression was still false after {rounds} rounds")
    raise AssertionError("count has no end")


def _failure(call: Call, number: int) -> ActivityFailed | None:
    """What a round fails with; None when it succeeds."""
    try:
        _round(call, number)
    except ActivityFailed as error:
        call.log.warning("Round %d: %s", number, error)
        return error
    return None


def _databricks_job(call: Call) -> Any:
    job, tasks = call.activity.job, _body(call)
    assert job is not None
    call.view.jobs[call.activity.name] = job_run(call, job)
    run_inside(call, tasks)
    return job_output(call.view, tasks)


def _round(call: Call, number: int) -> None:
    """A loop's inside, once."""
    before = call.view.rounds
    call.view.rounds = (*before, number)
    try:
        run_inside(call, _body(call))
    finally:
        call.view.rounds = before


def _body(call: Call) -> Sequence[Activity]:
    return [activity for branch in call.activity.branches for activity in branch.activities]


_CONTAINERS = {
    "ifcondition": _branch,
    "switch": _branch,
    "foreach": _for_each,
    "until": _until,
    "databricksjob": _databricks_job,
    FOR_EACH: _for_each_task,
    RUN_JOB: _databricks_job,
}
