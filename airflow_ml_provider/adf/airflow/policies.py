"""Policies of activities as fields of operators."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.model import HALF_A_DAY, WITHOUT_POLICY, Activity


def policy_fields(activity: Activity) -> dict[str, Any]:
    """A policy as fields of an operator; what is an expression there is left at Data Factory's default. Activities of control have none, and are never tried again."""
    if activity.type.casefold() in WITHOUT_POLICY:
        return {"retries": 0}
    policy = activity.policy
    timeout, delay = seconds_of(policy.timeout), seconds_of(policy.retry_interval)
    retries = policy.retry if isinstance(policy.retry, int) else int(policy.retry) if str(policy.retry).isdecimal() else 0
    return {
        "retries": retries,
        "retry_delay": timedelta(seconds=delay if delay is not None else 30),
        "execution_timeout": timedelta(seconds=timeout or HALF_A_DAY),
    }
