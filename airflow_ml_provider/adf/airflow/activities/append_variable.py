"""AppendVariable."""

from __future__ import annotations

from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import Call
from airflow_ml_provider.adf.airflow.activities.set_variable import change_variable


def append_variable(call: Call) -> Any:
    return change_variable(call, str(call.required("variableName")), "append", call("value"))
