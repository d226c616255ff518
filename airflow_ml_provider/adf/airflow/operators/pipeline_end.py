"""The end of a pipeline's DAG, and how tasks end as activities do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.operator import BaseOperator

from airflow_ml_provider._compat import AirflowFailException, AirflowSkipException
from airflow_ml_provider.adf.airflow.operators.rerun import ask_again
from airflow_ml_provider.adf.airflow.run_view import RETURN_VALUE, View
from airflow_ml_provider.adf.airflow.task_index import Place
from airflow_ml_provider.adf.model import Condition
from airflow_ml_provider.adf.rules import dependencies

if TYPE_CHECKING:
    from airflow.sdk import Context


class AdfPipelineEndOperator(BaseOperator):
    """The only leaf of a pipeline's DAG: it ends as the pipeline does, and so does the DAG run. Its XCom is the return value."""

    shallow_copy_attrs: Sequence[str] = ("place",)
    ui_color = "#dce9f5"

    def __init__(self, *, place: Place, **kwargs: Any) -> None:
        super().__init__(trigger_rule="all_done", **kwargs)
        self.place = place

    def execute(self, context: Context) -> Any:
        view = View(context, self.place)
        if (begun := view.begun()) is not Condition.SUCCEEDED:
            if begun is Condition.FAILED:
                ask_again(view, self.log)
            mark(begun, f"pipeline {self.place.pipeline.name!r} did not begin: {begun}")
        activities = self.place.pipeline.activities
        statuses = view.statuses([activity.name for activity in activities]) if activities else {}
        for name, status in statuses.items():
            self.log.info("%s: %s", name, status)
        if dependencies.verdict(activities, statuses) is Condition.FAILED:
            ask_again(view, self.log)
            raise AirflowFailException(f"pipeline {self.place.pipeline.name!r} failed")
        returned = view.variables().get(RETURN_VALUE)
        return view.secrets.sealed(returned)


def mark(status: Condition, why: str) -> None:
    """End the task as an activity ended."""
    if status is Condition.FAILED:
        raise AirflowFailException(why)
    if status is Condition.SKIPPED:
        raise AirflowSkipException(why)
