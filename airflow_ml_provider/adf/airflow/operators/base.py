"""The base of the operators behind a pipeline's activities. None has a template: properties are ADF's expressions, never Jinja."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.operator import BaseOperator

from airflow_ml_provider._compat import AirflowFailException, AirflowSkipException
from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call
from airflow_ml_provider.adf.airflow.activities.databricks_job import taken as taken_of
from airflow_ml_provider.adf.airflow.activity_facts import STARTED, facts, now, written
from airflow_ml_provider.adf.airflow.journal import Pausing
from airflow_ml_provider.adf.airflow.operators.inner_activities import run_items
from airflow_ml_provider.adf.airflow.operators.inner_spark import Inner
from airflow_ml_provider.adf.airflow.operators.item_pages import PAGE
from airflow_ml_provider.adf.airflow.run_state import RECORD, condition_of, error_of, record
from airflow_ml_provider.adf.airflow.run_view import View
from airflow_ml_provider.adf.airflow.secure_values import is_secure
from airflow_ml_provider.adf.airflow.task_index import Place, Within
from airflow_ml_provider.adf.airflow.wait_trigger import trigger_of
from airflow_ml_provider.adf.model import Activity, Condition
from airflow_ml_provider.adf.rules import dependencies

if TYPE_CHECKING:
    from airflow.sdk import Context


class AdfOperator(BaseOperator):
    """Base of what stands for an activity, or a part of one. It runs once all before it have ended, however they did.

    :param around: the containers around the activity whose branch decides whether it runs, outermost first.
    :param loop: the mapped ForEach around it.
    """

    shallow_copy_attrs: Sequence[str] = ("activity", "place", "around")
    ui_color = "#dce9f5"
    skips_after_page = False

    def __init__(
        self, *, activity: Activity, place: Place, around: tuple[Within, ...] = (), loop: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(trigger_rule="all_done", **kwargs)
        self.activity = activity
        self.place = place
        self.around = around
        self.loop = loop
        self.loop_of_pages: Activity | None = None
        self._inner: Inner | None = None

    def execute(self, context: Context) -> Any:
        return self._go(context, View(context, self.place, self.loop))

    def resume(self, context: Context, event: Any = None) -> Any:
        """Go on after the task was deferred: the same way once more, without what has been done."""
        view = View(context, self.place, self.loop)
        view.go_on()
        return self._go(context, view)

    def _go(self, context: Context, view: View) -> Any:
        page = view.page()
        try:
            return self._act(context, view) if page is None else self._run_page(context, view, page)
        except Pausing as pausing:
            view.keep()
            self.defer(trigger=trigger_of(pausing.waiting, context["ti"]), method_name="resume")

    def on_kill(self) -> None:
        if self._inner:
            self._inner.kill()

    def _act(self, context: Context, view: View) -> Any:
        raise NotImplementedError

    @contextmanager
    def _inside(self, context: Context, view: View) -> Iterator[None]:
        """Spark in this task, which a kill of it cancels."""
        view.inner = self._inner = Inner(context, view)
        try:
            yield
        except Pausing:
            raise  # its clusters serve the rest of the task
        except BaseException:
            self._inner.close()
            raise
        else:
            self._inner.close()

    def _run_page(self, context: Context, view: View, page: list[Any]) -> Any:
        """Run all activities of the loop for each item of a page, where this is the task to do so; the loop's other tasks are skipped."""
        if self.loop_of_pages is None:
            raise AirflowSkipException("another task of the loop runs this page of items")
        error: dict[str, Any] = {}
        try:
            with self._inside(context, view):
                run_items(Call(view, self.loop_of_pages, self.log), page)
        except ActivityFailed as failure:
            error = {**error_of(failure), "message": view.secrets.clean(str(failure))}
        status = Condition.FAILED if error else Condition.SUCCEEDED
        context["ti"].xcom_push(key=PAGE, value={"status": str(status), "error": error})
        if error:
            raise AirflowFailException(error["message"])
        if self.skips_after_page:
            raise AirflowSkipException("the items of the page have run in this task")
        return []

    def _gate(self, view: View) -> bool:
        """Whether the activity runs: it is in the branch that was taken, and what it waits for ended as its edges ask."""
        if view.begun() is not Condition.SUCCEEDED:
            return False
        enters = [self.place.enters[within.container] for within in self.around]
        states = view.states([enter.task_id for enter in enters]) if enters else {}
        for within, enter in zip(self.around, enters, strict=True):
            found = view.pull(enter, RECORD) or {}
            if found.get("taken") != within.branch or condition_of(states.get(view.state_key(enter))) is Condition.FAILED:
                return False
        edges, beside = self.activity.depends_on, self._beside
        missing = [edge.activity for edge in edges if edge.activity not in self.place.ends]
        if missing:
            raise AirflowFailException(f"activity {self.activity.name!r} waits for {missing[0]!r}, which is not in the pipeline")
        names = dependencies.ancestors(self.activity, beside) if beside else [edge.activity for edge in edges]
        conditions = taken_of(view, [one for one in beside if one.name in names])
        return dependencies.is_reached(self.activity, beside, view.statuses(list(names)), conditions)

    @property
    def _beside(self) -> Sequence[Activity]:
        """The tasks of the Databricks job that this is a task of."""
        return self.place.jobs[self.activity.task.job] if self.activity.task else ()

    def _tell(self, context: Context, found: dict[str, Any]) -> None:
        context["ti"].xcom_push(key=RECORD, value=found)

    def _failed(self, view: View, error: BaseException, began: datetime | None) -> dict[str, Any]:
        return record(
            Condition.FAILED,
            output=getattr(error, "output", None),
            error=error_of(error),
            secure=is_secure(self.activity) or view.secrets.are_in([getattr(error, "output", None), str(error)]),
            facts=self._facts(view, began),
        )

    def _facts(self, view: View, began: datetime | None) -> dict[str, Any]:
        return facts(self.activity, view.activity_run_id(self.activity), began)

    def _began(self, context: Context) -> None:
        context["ti"].xcom_push(key=STARTED, value=written(now()))
