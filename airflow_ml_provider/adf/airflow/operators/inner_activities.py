"""Activities that run inside one task: the inside of an Until, of a sequential ForEach, and of loops in loops."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call, items_of, limited, truth
from airflow_ml_provider.adf.airflow.activities.databricks_job import inputs_of, job_output, job_run, timeout_of
from airflow_ml_provider.adf.airflow.activities.databricks_job import taken as conditions_of
from airflow_ml_provider.adf.airflow.activities.registry import action_of
from airflow_ml_provider.adf.airflow.activity_facts import facts, now, read, written
from airflow_ml_provider.adf.airflow.journal import Pausing
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
        found = _ended(call.of(activity), activities, statuses)
        statuses[activity.name] = Condition(found["status"])
        call.view.local[activity.name] = found
    if dependencies.verdict(activities, statuses, conditions_of(call.view, activities)) is Condition.FAILED:
        failed = [name for name, status in statuses.items() if status is Condition.FAILED]
        secure = {one.name for one in activities if is_secure(one)}
        errors = {name: "" if name in secure else call.view.record(name)["error"].get("message", "") for name in failed}
        messages = "; ".join(f"{name}: {message}" for name, message in errors.items())
        raise ActivityFailed(f"activity {call.activity.name!r}: its inside failed ({messages})")


def _ended(call: Call, beside: Sequence[Activity], statuses: Mapping[str, Condition]) -> dict[str, Any]:
    """The record of an activity: that of before the task was deferred, or of now."""
    notes = call.view.journal.notes
    if call.key in notes:
        return dict(notes[call.key])
    reached = dependencies.is_reached(call.activity, beside, statuses, conditions_of(call.view, beside))
    found = _one(call) if reached else record(Condition.SKIPPED)
    call.forget("")
    call.view.journal.notes[call.key] = found
    call.log.info("%s: %s", " / ".join(call.activity.path), found["status"])
    return found


def _one(call: Call) -> dict[str, Any]:
    """The record of one activity, after its retries."""
    activity, policy = call.activity, call.activity.policy
    if not activity.active:
        return record(activity.on_inactive_mark_as)
    repeats_inside = activity.job is not None or activity.type == FOR_EACH
    retries = 0 if repeats_inside else int(call.view.resolve(policy.retry) or 0)
    began = read(call.once("began", lambda: written(now())))
    for attempt in range(call.once("attempt", lambda: 0), retries + 1):
        call.note("attempt", attempt)
        call.view.attempt = (attempt, retries + 1)
        try:
            failure: dict[str, Any] = call.once(f"failure {attempt}", dict)
            if failure:
                raise ActivityFailed(failure["message"], failure["errorCode"])
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
            _rest(call, attempt, failure)
    about = facts(activity, call.view.activity_run_id(activity), began)
    return record(Condition.FAILED, output=output, error=failure, secure=is_secure(activity), facts=about)


def _rest(call: Call, attempt: int, failure: Mapping[str, Any]) -> None:
    """The pause before another attempt, which begins without what the last one has noted."""
    interval = float(call.view.resolve(call.activity.policy.retry_interval) or 0)
    call.note(f"failure {attempt}", dict(failure))
    call.pause(call.once(f"rest {attempt}", lambda: time.time() + interval))
    began = call.once("began", str)
    call.forget("")
    call.note("began", began)


def _in_time(call: Call) -> Any:
    """What an activity's action gives, within the timeout of its policy."""
    act = action_of(call.activity)
    if call.activity.type.casefold() in WITHOUT_POLICY:
        return act(call)
    return limited(call, seconds_of(call.view.resolve(call.activity.policy.timeout)) or HALF_A_DAY, lambda: act(call))


def _branch(call: Call) -> Any:
    label = call.once("branch", lambda: taken(call))
    for branch in call.activity.branches:
        if branch.label == label:
            run_inside(call, branch.activities)
    return {}


def _for_each(call: Call) -> Any:
    """Every item runs, also after one that failed."""
    return run_items(call, call.once("items", lambda: items_of(call)))


def _for_each_task(call: Call) -> Any:
    """The items of a Databricks job's For each, one by one, within its timeout."""
    return limited(call, timeout_of(call.activity), lambda: run_items(call, call.once("items", lambda: inputs_of(call))))


def run_items(call: Call, items: list[Any]) -> Any:
    """Run a loop's inside for each item, also after one that failed; :class:`ActivityFailed` when one did."""
    view = call.view
    before = view.item
    failed, first = call.once("failed", lambda: (0, ""))
    try:
        for number in range(call.once("round", lambda: 0), len(items)):
            call.note("round", number)
            view.item = items[number]
            try:
                _round(call, number)
            except ActivityFailed as error:
                failed, first = failed + 1, first or str(error)
                call.note("failed", (failed, first))
    finally:
        view.item = before
    if failed:
        raise ActivityFailed(f"{failed} of {len(items)} items failed: {first}")
    return {"count": len(items)}


def _until(call: Call) -> Any:
    """Rounds until the expression is true, also after a round that failed; it ends as the last round did. Its timeout ends it in the midst
    of a round.
    """
    seconds = seconds_of(call("timeout")) or _WEEK
    deadline = call.once("deadline", lambda: time.time() + seconds)
    return limited(call, seconds, lambda: _rounds(call, deadline), ", and its expression was still false")


def _rounds(call: Call, deadline: float) -> Any:
    expression = pick(call.activity.type_properties, "expression")
    for rounds in count(call.once("round", lambda: 1)):
        call.note("round", rounds)
        failure = _failure(call, rounds)
        if truth(call, "expression", call.view.resolve(expression)):
            if failure:
                raise failure
            return {"rounds": rounds}
        if time.time() > deadline:
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
    call.view.jobs[call.activity.name] = call.once("job", lambda: job_run(call, job))
    run_inside(call, tasks)
    return job_output(call.view, tasks)


def _round(call: Call, number: int) -> None:
    """A loop's inside, once."""
    before = call.view.rounds
    call.view.rounds = (*before, number)
    try:
        run_inside(call, _body(call))
    except Pausing:
        raise
    except BaseException:
        _forget_round(call)
        raise
    else:
        _forget_round(call)
    finally:
        call.view.rounds = before


def _forget_round(call: Call) -> None:
    here = ".".join(map(str, call.view.rounds))
    call.view.journal.forget(f"{here}/", f"{here}.")


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
