"""Expressions as the operators evaluate them: each is the value of a SetVariable in a pipeline's run that has the given state."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import Call
from airflow_ml_provider.adf.airflow.activities.set_variable import set_variable
from airflow_ml_provider.adf.airflow.run_view import View
from airflow_ml_provider.adf.airflow.task_index import Place
from airflow_ml_provider.adf.expressions.evaluator import NO_RUN
from airflow_ml_provider.adf.model import Activity, Factory, Parameter, Pipeline


class _TaskInstance(SimpleNamespace):
    """What a task has of Airflow where nothing ran before it."""

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed = {key: value}

    def xcom_pull(self, **_: Any) -> tuple[()]:
        return ()


class _SampleView(View):
    """Has the samples that stand for the system variables in recorded states."""

    def system(self) -> dict[str, Any]:
        return dict(NO_RUN)


def through_operators(text: str, state: Mapping[str, Any], *, marked: bool) -> Any:
    """The value that a SetVariable gives its variable.

    :param marked: the text stands in ``{"type": "Expression", "value": …}``.
    """
    given = state.get("variables") or {}
    target = Parameter("Array")
    variables = {**{name: Parameter(default=value) for name, value in given.items()}, "the value": target}
    value = {"type": "Expression", "value": text} if marked else text
    activity = Activity("set", "SetVariable", type_properties={"variableName": "the value", "value": value})
    parameters = state.get("parameters") or {}
    pipeline = Pipeline(
        "p",
        PurePath("p.json"),
        parameters={name: Parameter(default=one) for name, one in parameters.items()},
        variables=variables,
    )
    factory = Factory(pipelines=(pipeline,), global_parameters=state.get("globalParameters") or {})
    ti = _TaskInstance(task_id="set", dag_id="p", run_id="r", map_index=-1, try_number=1)
    run = SimpleNamespace(
        run_type="manual", conf={}, run_after=datetime(2024, 2, 29, tzinfo=UTC), data_interval_start=None, data_interval_end=None
    )
    view = _SampleView({"ti": ti, "params": parameters, "dag_run": run}, Place(factory, pipeline))
    if state.get("item") is not None:
        view.item = state["item"]
    view.local = {name: dict(one) for name, one in (state.get("activities") or {}).items()}
    view.dataset = dict(state.get("dataset") or {})
    set_variable(Call(view, activity, logging.getLogger(__name__)))
    return view.variables()["the value"]
