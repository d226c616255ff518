"""When an activity runs, and how a pipeline ends: Data Factory's rules over plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from airflow_ml_provider.adf.graph import Activity, Condition, Edge

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


def verdict(activities: Sequence[Activity], statuses: Statuses) -> Condition:
    """How a pipeline, or the inside of a container, ends: it succeeds when every leaf did; a skipped leaf counts as its parents."""
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


def strangers(activities: Sequence[Activity]) -> dict[str, list[str]]:
    """Per activity, what it waits for that is not among the activities."""
    names = {activity.name for activity in activities}
    found = {one.name: [edge.activity for edge in one.depends_on if edge.activity not in names] for one in activities}
    return {name: missing for name, missing in found.items() if missing}


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
