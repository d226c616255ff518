"""SqlServerStoredProcedure and SqlPoolStoredProcedure."""

from __future__ import annotations

from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import Call
from airflow_ml_provider.adf.airflow.activities.lookup import hook_of
from airflow_ml_provider.adf.airflow.data.dataset_places import service_of
from airflow_ml_provider.adf.airflow.data.sql_procedures import procedure_call


def stored_procedure(call: Call) -> Any:
    hook = hook_of(service_of(call))
    text, values = procedure_call(hook, str(call.required("storedProcedureName")), call("storedProcedureParameters", {}))
    hook.run(text, parameters=values or None, autocommit=True)
    return {}
