"""When an activity runs, and how a pipeline ends: Data Factory's rules over plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum

from airflow_ml_provider.adf.model import Activity, Condition, Edge, RunIf

Statuses = Mapping[str, Condition]

_MET_BY = {
    Condition.SUCCEEDED: frozenset({Condition.SUCCEEDED}),
    Condition.FAILED: frozenset({Condition.FAILED}),
    Condition.SKIPPED: frozenset({Condition.SKIPPED}),
    Condition.COMPLETED: frozenset({Condition.SUCCEEDED, Condition.FAILED}),
}


def runs(edges: Iterable[Edge], statuses: Statuses) -> bool:
    """Whether an activity runs, once all that it waits for has ended. If not, it is skipped."""
    return all(any(statuses[edge.activity] in _MET_BY[condition] for condition in edge.conditions) for edge in edges)


def is_reached(
    activity: Activity, beside: Sequence[Activity], statuses: Statuses, taken: Mapping[str, str] | None = None
) -> bool:
    """Whether an activity runs among those beside it, by its edges or, in a Databricks job, by its ``run_if``.

    :param taken: what the job's conditions came to, ``true`` or ``false``, by name.
    """
    if activity.task is None:
        return runs(activity.depends_on, statuses)
    names = ancestors(activity, beside)
    found = outcomes([one for one in beside if one.name in names], statuses, taken or {})
    return _unmet(activity, found, taken or {}) is None


def ancestors(activity: Activity, beside: Sequence[Activity]) -> set[str]:
    """The names of all that an activity waits for, directly or not."""
    by_name = {one.name: one for one in beside}
    found: set[str] = set()
    left = [edge.activity for edge in activity.depends_on]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [edge.activity for edge in by_name[name].depends_on]
    return found


class Outcome(Enum):
    """How a task of a Databricks job ended. One that is excluded counts as a success."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UPSTREAM_FAILED = "upstream failed"
    EXCLUDED = "excluded"


_BAD = (Outcome.FAILED, Outcome.UPSTREAM_FAILED)


def outcomes(tasks: Sequence[Activity], statuses: Statuses, taken: Mapping[str, str]) -> dict[str, Outcome]:
    """How the tasks of a job ended, in Databricks' words."""
    ended = {Condition.SUCCEEDED: Outcome.SUCCEEDED, Condition.FAILED: Outcome.FAILED}
    found: dict[str, Outcome] = {}
    for task in in_order(tasks):
        found[task.name] = ended.get(statuses[task.name]) or _unmet(task, found, taken) or Outcome.EXCLUDED
    return found


def _unmet(task: Activity, before: Mapping[str, Outcome], taken: Mapping[str, str]) -> Outcome | None:
    """What a task counts as that does not run; None for one that runs. The branch of a condition that is not taken is excluded."""
    if not task.depends_on or task.task is None:
        return None
    asked = task.task.outcomes
    found = [
        Outcome.EXCLUDED
        if before[name] is Outcome.SUCCEEDED and asked.get(name, taken.get(name)) != taken.get(name)
        else before[name]
        for name in (edge.activity for edge in task.depends_on)
    ]
    if all(one is Outcome.EXCLUDED for one in found):
        return Outcome.EXCLUDED
    bad = [one in _BAD for one in found]
    met, otherwise = {
        RunIf.ALL_SUCCESS: (not any(bad), Outcome.UPSTREAM_FAILED),
        RunIf.NONE_FAILED: (not any(bad), Outcome.UPSTREAM_FAILED),
        RunIf.AT_LEAST_ONE_SUCCESS: (not all(bad), Outcome.UPSTREAM_FAILED),
        RunIf.ALL_DONE: (True, Outcome.EXCLUDED),
        RunIf.AT_LEAST_ONE_FAILED: (any(bad), Outcome.EXCLUDED),
        RunIf.ALL_FAILED: (all(bad), Outcome.EXCLUDED),
    }[task.task.run_if]
    return None if met else otherwise


def verdict(activities: Sequence[Activity], statuses: Statuses, taken: Mapping[str, str] | None = None) -> Condition:
    """How a pipeline, or the inside of a container, ends: it succeeds when every leaf did; a skipped leaf counts as its parents. In a
    Databricks job, a leaf whose upstream failed counts as failed.
    """
    if any(one.task for one in activities):
        found = outcomes(activities, statuses, taken or {})
        return Condition.FAILED if any(found[name] in _BAD for name in leaves(activities)) else _GOOD
    return Condition.FAILED if any(statuses[name] is Condition.FAILED for name in _judged(activities, statuses)) else _GOOD


_GOOD = Condition.SUCCEEDED


def _judged(activities: Sequence[Activity], statuses: Statuses) -> Iterator[str]:
    """The leaves, and for a skipped one, its nearest ancestors that ran."""
    by_name = {activity.name: activity for activity in activities}
    left = list(leaves(activities))
    seen = set(left)
    while left:
        name = left.pop()
        if statuses[name] is not Condition.SKIPPED:
            yield name
            continue
        parents = {edge.activity for edge in by_name[name].depends_on} - seen
        seen |= parents
        left.extend(parents)


def leaves(activities: Sequence[Activity]) -> list[str]:
    """The names that no other activity waits for."""
    waited_for = {edge.activity for activity in activities for edge in activity.depends_on}
    return [activity.name for activity in activities if activity.name not in waited_for]


def in_order(activities: Sequence[Activity]) -> list[Activity]:
    """The activities, each after what it waits for; :class:`ValueError` when they wait for each other."""
    found: dict[str, Activity] = {}
    left = list(activities)
    while left:
        ready = [one for one in left if all(edge.activity in found for edge in one.depends_on)]
        if not ready:
            raise ValueError(
                f"activities {', '.join(repr(one.name) for one in left)} wait for each other, or for what is not there"
            )
        found |= {one.name: one for one in ready}
        left = [one for one in left if one.name not in found]
    return list(found.values())
