"""AzureFunctionActivity."""

from __future__ import annotations

from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import Call
from airflow_ml_provider.adf.airflow.activities.web import content_of, method_of, output_of, timeout_of
from airflow_ml_provider.adf.airflow.data.dataset_places import service_of
from airflow_ml_provider.adf.airflow.data.http_requests import ask_connection, password_of


def azure_function(call: Call) -> Any:
    """A request to the function app of the linked service's connection: its host, and its password as the function's key."""
    conn_id = service_of(call)
    key = password_of(conn_id)
    content, headers = content_of(call, call("body"))
    if key:
        headers["x-functions-key"] = key
    method, path = method_of(call), f"/api/{str(call.required('functionName')).lstrip('/')}"
    answer = ask_connection(method, conn_id, path, headers=headers, body=content, timeout=timeout_of(call))
    return output_of(method, answer)
