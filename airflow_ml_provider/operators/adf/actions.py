"""Which action runs an activity, by its type."""

from __future__ import annotations

from importlib import import_module

from airflow_ml_provider.adf.graph import Activity
from airflow_ml_provider.adf.jobs import CONDITION
from airflow_ml_provider.adf.programs import SPARK
from airflow_ml_provider.adf.properties import refused_properties
from airflow_ml_provider.core.errors import ConfigurationError, SpecError
from airflow_ml_provider.operators.adf.calls import CONTROL, Action, Call

_HERE = "airflow_ml_provider.operators.adf"
_ACTIONS = {
    **dict.fromkeys(SPARK, "inner:spark"),
    CONDITION: "jobs:condition",
    "webactivity": "web:web",
    "webhook": "webhook:webhook",
    "azurefunctionactivity": "web:azure_function",
    "lookup": "tables:lookup",
    "script": "tables:script",
    "sqlpoolstoredprocedure": "tables:stored_procedure",
    "sqlserverstoredprocedure": "tables:stored_procedure",
    "copy": "files:copy",
    "delete": "files:delete",
    "getmetadata": "metadata:get_metadata",
    "validation": "files:validation",
}


def runs_here(activity_type: str) -> bool:
    """Whether there is an action for activities of this type."""
    kind = activity_type.casefold()
    return kind in CONTROL or kind in _ACTIONS


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
    fix = f"register an operator for it: adf.dag.register({kind!r}, factory); in an Until, a sequential or an inner ForEach it cannot run"
    raise ConfigurationError(f"activity {call.activity.name!r}: {kind} does not run here: {fix}")
