"""What ``airflow-ml adf report`` and ``airflow-ml adf render`` print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from airflow_ml_provider.adf.model import Activity, Factory, Pipeline
from airflow_ml_provider.adf.naming import dag_ids
from airflow_ml_provider.adf.support.connections import needed, secrets
from airflow_ml_provider.adf.support.differences import DIFFERENCES, differences
from airflow_ml_provider.adf.support.verdicts import Outcome, Verdict, judge, reasons
from airflow_ml_provider.adf.triggers.cut_over import due
from airflow_ml_provider.adf.triggers.reader import starts


def as_json(factory: Factory, now: datetime | None = None) -> dict[str, Any]:
    """The report: a verdict for every pipeline, what could not be read, and counts.

    :param now: when windows are due; by default, now.
    """
    now = now or datetime.now(UTC)
    verdicts = [judge(pipeline, factory) for pipeline in factory.pipelines]
    ids = dag_ids(factory.pipelines)
    return {
        "pipelines": [{**_verdict(verdict, factory, now), "dag_id": ids[verdict.pipeline.key]} for verdict in verdicts],
        "problems": [
            {"file": str(one.source), "where": list(one.where), "reason": one.reason, "left_out": one.fatal}
            for one in factory.problems
        ],
        "summary": {
            **{outcome.value: sum(verdict.outcome is outcome for verdict in verdicts) for outcome in Outcome},
            "same": sum(
                verdict.outcome is Outcome.IMPORTED and not differences(verdict.pipeline, factory) for verdict in verdicts
            ),
            "files_refused": len({one.source for one in factory.problems if one.fatal}),
            "activities": activity_share(factory),
        },
    }


def activity_share(factory: Factory) -> dict[str, dict[str, int]]:
    """By type of activity: how many there are, and how many of them run."""
    total, run = Counter[str](), Counter[str]()
    for pipeline in factory.pipelines:
        for activity in pipeline.walk():
            total[activity.type] += 1
            run[activity.type] += not any(reasons(activity, pipeline, factory))
    return {kind: {"total": count, "imported": run[kind]} for kind, count in total.most_common()}


def as_text(factory: Factory, now: datetime | None = None) -> str:
    """The report for people; ``now`` as in :func:`as_json`."""
    return "\n".join(_lines(as_json(factory, now)))


def _verdict(verdict: Verdict, factory: Factory, now: datetime) -> dict[str, Any]:
    pipeline = verdict.pipeline
    found, left_out = starts(factory, pipeline)
    return {
        "name": pipeline.name,
        "file": str(pipeline.source),
        "verdict": verdict.outcome.value,
        "reasons": [{"activity": " / ".join(one.where), "reason": one.text} for one in verdict.reasons],
        "differences": differences(pipeline, factory),
        "triggers": [f"{one.trigger}{'' if one.active else ' (stopped)'}: {one.timing}" for one in found],
        "triggers_left_out": left_out,
        "windows_due": {one.trigger: count for one in found if one.active and (count := due(one, now))},
    }


def _lines(report: dict[str, Any]) -> Iterator[str]:
    for pipeline in report["pipelines"]:
        yield f"{pipeline['verdict']:<9} {pipeline['name']}  ({pipeline['file']})"
        yield from (f"            {': '.join(filter(None, (one['activity'], one['reason'])))}" for one in pipeline["reasons"])
        yield from (f"            {one}" for one in pipeline["triggers_left_out"])
        yield from (f"            {_due(name, count)}" for name, count in pipeline["windows_due"].items())
        yield from (f"            differs: {name}: {', '.join(touched)}" for name, touched in pipeline["differences"].items())
    for one in report["problems"]:
        place = ": ".join([one["file"], *([" / ".join(one["where"])] if one["where"] else [])])
        yield f"{'left out' if one['left_out'] else 'note':<9} {place}: {one['reason']}"
    summary = report["summary"]
    yield ""
    yield ", ".join(f"{summary[outcome]} {outcome}" for outcome in Outcome) + f", {summary['files_refused']} files refused"
    yield f"{summary['same']} imported whole, and no difference is known"
    touched = Counter(name for pipeline in report["pipelines"] for name in pipeline["differences"])
    yield from (f"  {touched[one.id]:>5} differ: {one.id}: {one.sentence}" for one in DIFFERENCES if touched[one.id])
    for kind, count in summary["activities"].items():
        yield f"  {kind:<28} {count['imported']:>5} of {count['total']}"


def _due(trigger: str, count: int) -> str:
    begin = "by default the DAG begins with the window that is open when it is unpaused"
    return f"trigger {trigger!r}: {count} windows are over: {begin}, adf_dags(…, start_from=…) has earlier ones run too"


def connections_as_json(factory: Factory) -> dict[str, Any]:
    """The connections that a user must create, and the secrets that a secrets backend must hold."""
    return {
        "connections": [one._asdict() for one in needed(factory)],
        "secrets": [one._asdict() for one in secrets(factory)],
    }


def connections_as_text(factory: Factory) -> str:
    """The same for people: a connection a line with its id, its type and what it stands for."""
    found = list(needed(factory))
    wide = max((len(one.conn_id) for one in found), default=0)
    lines = [f"{one.conn_id:<{wide}}  {one.conn_type or 'no type':<21}  {one.service} ({one.service_type})" for one in found]
    kept = [
        f"variable {one.name!r}: a secret of {one.vault} {f'({one.url})' if one.url else ''}".rstrip() for one in secrets(factory)
    ]
    if kept:
        kept = ["", "In a secrets backend, such as the Key Vault itself through apache-airflow-providers-microsoft-azure:", *kept]
    return "\n".join([*(lines or ["no connections"]), *kept])


def render(pipeline: Pipeline) -> str:
    """A pipeline's graph: an activity a line, what it waits for, and what is inside it below."""
    return "\n".join([pipeline.name, *_tree(pipeline.activities, 1)])


def _tree(activities: tuple[Activity, ...], depth: int) -> Iterator[str]:
    for activity in activities:
        after = _after(activity)
        inactive = "" if activity.active else f" (inactive: counts as {activity.on_inactive_mark_as})"
        yield f"{'  ' * depth}{activity.task.key if activity.task else activity.name}: {activity.type}{inactive}{f'  after {after}' if after else ''}"
        for branch in activity.branches:
            yield f"{'  ' * (depth + 1)}{branch.label}:"
            yield from _tree(branch.activities, depth + 2)


def _after(activity: Activity) -> str:
    if activity.task is None:
        return ", ".join(f"{edge.activity} [{' or '.join(sorted(edge.conditions))}]" for edge in activity.depends_on)
    task, names = activity.task, [edge.activity for edge in activity.depends_on]
    told = (
        f"{name.removeprefix(f'{task.job} / ')}{f' = {task.outcomes[name]}' if name in task.outcomes else ''}" for name in names
    )
    return f"{', '.join(told)} [{task.run_if}]" if names else ""
