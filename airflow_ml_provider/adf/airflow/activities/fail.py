"""Fail."""

from __future__ import annotations

from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call


def fail(call: Call) -> Any:
    message, code = str(call.required("message")), str(call("errorCode", ""))
    raise ActivityFailed(message, code, {"message": message, "errorCode": code})
