"""A pipeline's schedule as fields of its DAG."""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronTriggerTimetable, DeltaDataIntervalTimetable

from airflow_ml_provider.adf.schedules import Schedule


def schedule_fields(schedule: Schedule) -> dict[str, Any]:
    """``schedule``, ``start_date`` and what else of a DAG a trigger decides. Windows that have passed are made up for; times are not."""
    fields: dict[str, Any] = {
        "start_date": schedule.start,
        "end_date": schedule.end,
        "is_paused_upon_creation": not schedule.active,
    }
    if schedule.window:
        limit = {"max_active_runs": schedule.at_once} if schedule.at_once else {}
        return {**fields, **limit, "catchup": True, "schedule": DeltaDataIntervalTimetable(schedule.window)}
    return {**fields, "catchup": False, "schedule": CronTriggerTimetable(schedule.cron, timezone=schedule.timezone)}
