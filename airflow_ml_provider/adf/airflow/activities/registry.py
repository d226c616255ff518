"""Which action runs an activity, by its type."""

from __future__ import annotations

from importlib import import_module

from airflow_ml_provider.adf.airflow.activities.call import Action, Call
from airflow_ml_provider.adf.known_properties import refused_properties
from airflow_ml_provider.adf.model import Activity
from airflow_ml_provider.adf.support.databricks_jobs import CONDITION
from airflow_ml_provider.adf.support.spark_programs import SPARK
from airflow_ml_provider.core.errors import ConfigurationError, SpecError

_HERE = "airflow_ml_provider.adf.airflow"
_ACTIONS = {
    **dict.fromkeys(SPARK, "operators.inner_spark:spark"),
    CONDITION: "activities.databricks_job:condition",
    "appendvariable": "activities.append_variable:append_variable",
    "azurefunctionactivity": "activities.azure_function:azure_function",
    "copy": "activities.copy:copy",
    "delete": "activities.delete:delete",
    "executepipeline": "activities.execute_pipeline:execute_pipeline",
    "fail": "activities.fail:fail",
    "filter": "activities.filter:keep",
    "getmetadata": "activities.get_metadata:get_metadata",
    "lookup": "activities.lookup:lookup",
    "script": "activities.script:script",
    "setvariable": "activities.set_variable:set_variable",
    "sqlpoolstoredprocedure": "activities.sql_server_stored_procedure:stored_procedure",
    "sqlserverstoredprocedure": "activities.sql_server_stored_procedure:stored_procedure",
    "validation": "activities.validation:validation",
    "wait": "activities.wait:wait",
    "webactivity": "activities.web:web",
    "webhook": "activities.web_hook:webhook",
}
"""Each in the file of its name. Activities that are a program on Spark have none: what they run is in ``support/spark_programs.py``."""


def action_of(activity: Activity) -> Action:
    """The activity's action; for one that cannot run here, an action that says so."""
    kind = activity.type.casefold()
    if refused := next(refused_properties(activity), None):
        return _refusing(refused)
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
