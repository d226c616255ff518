"""Which action runs an activity, by its type."""

from __future__ import annotations

from importlib import import_module

from airflow_ml_provider.adf.airflow.activities.control import CONTROL, Action, Call
from airflow_ml_provider.adf.known_properties import refused_properties
from airflow_ml_provider.adf.model import Activity
from airflow_ml_provider.adf.support.databricks_jobs import CONDITION
from airflow_ml_provider.adf.support.spark_programs import SPARK
from airflow_ml_provider.core.errors import ConfigurationError, SpecError

_HERE = "airflow_ml_provider.adf.airflow"
_ACTIONS = {
    **dict.fromkeys(SPARK, "operators.inner_spark:spark"),
    CONDITION: "activities.databricks_job:condition",
    "webactivity": "activities.web:web",
    "webhook": "activities.web_hook:webhook",
    "azurefunctionactivity": "activities.web:azure_function",
    "lookup": "activities.lookup:lookup",
    "script": "activities.lookup:script",
    "sqlpoolstoredprocedure": "activities.lookup:stored_procedure",
    "sqlserverstoredprocedure": "activities.lookup:stored_procedure",
    "copy": "activities.copy:copy",
    "delete": "activities.copy:delete",
    "getmetadata": "activities.get_metadata:get_metadata",
    "validation": "activities.copy:validation",
}


def action_of(activity: Activity) -> Action:
    """The activity's action; for one that cannot run here, an action that says so."""
    kind = activity.type.casefold()
    if refused := next(refused_properties(activity), None):
        return _refusing(refused)
    if kind in CONTROL:
        return CONTROL[kind]
    if kind not in _ACTIONS:
        return _refuse
    module, _, name = _ACTIONS[kind].partition(":")
    action: Action = getattr(import_module(f"{_HERE}.{module}"), name)
    return action


def _refusing(reason: str) -> Action:
    def refuse(call: Call) -> None:
        raise SpecError(f"activity {call.activity.name!r}: {reason}")

    return refuse


def _refuse(call: Call) -> None:
    kind = call.activity.type
    fix = f"register an operator for it: airflow_ml_provider.adf.register({kind!r}, factory); in an Until, a sequential or an inner ForEach it cannot run"
    raise ConfigurationError(f"activity {call.activity.name!r}: {kind} does not run here: {fix}")
