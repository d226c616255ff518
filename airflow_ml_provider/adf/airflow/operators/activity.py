"""The operators behind a pipeline's activities. None has a template: properties are ADF's expressions, never Jinja."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.operator import BaseOperator

from airflow_ml_provider._compat import AirflowFailException, AirflowSkipException
from airflow_ml_provider.adf.airflow.activities.control import ActivityFailed, Call, items_of
from airflow_ml_provider.adf.airflow.activities.databricks_job import inputs_of, job_output, job_run, task_properties
from airflow_ml_provider.adf.airflow.activities.databricks_job import taken as taken_of
from airflow_ml_provider.adf.airflow.activities.registry import action_of
from airflow_ml_provider.adf.airflow.hosted_activities import REGISTERED
from airflow_ml_provider.adf.airflow.operators.inner_activities import run_container, taken
from airflow_ml_provider.adf.airflow.operators.inner_spark import Inner
from airflow_ml_provider.adf.airflow.operators.rerun import ask_again
from airflow_ml_provider.adf.airflow.operators.spark_copy import conversion
from airflow_ml_provider.adf.airflow.run_state import RECORD, condition_of, error_of, record
from airflow_ml_provider.adf.airflow.run_view import RETURN_VALUE, View
from airflow_ml_provider.adf.airflow.secure_values import is_secure, seal, told_of
from airflow_ml_provider.adf.airflow.task_index import Place, Spot, Within
from airflow_ml_provider.adf.known_properties import refused_properties
from airflow_ml_provider.adf.model import LOOPS, Activity, Branch, Condition, Resource
from airflow_ml_provider.adf.rules import dependencies
from airflow_ml_provider.adf.support import spark_programs
from airflow_ml_provider.adf.support.databricks_jobs import FOR_EACH
from airflow_ml_provider.core.errors import ConfigurationError, ProviderError, SpecError
from airflow_ml_provider.operators.base import final_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class _AdfOperator(BaseOperator):
    """Base of what stands for an activity, or a part of one. It runs once all before it have ended, however they did.

    :param around: the containers around the activity whose branch decides whether it runs, outermost first.
    :param loop: the mapped ForEach around it.
    """

    shallow_copy_attrs: Sequence[str] = ("activity", "place", "around")
    ui_color = "#dce9f5"

    def __init__(
        self, *, activity: Activity, place: Place, around: tuple[Within, ...] = (), loop: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(trigger_rule="all_done", **kwargs)
        self.activity = activity
        self.place = place
        self.around = around
        self.loop = loop

    def _view(self, context: Context) -> View:
        return View(context, self.place, self.loop)

    def _gate(self, view: View) -> bool:
        """Whether the activity runs: it is in the branch that was taken, and what it waits for ended as its edges ask."""
        if view.begun() is not Condition.SUCCEEDED:
            return False
        for within in self.around:
            found = view.pull(self.place.enters[within.container], RECORD) or {}
            if found.get("taken") != within.branch:
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

    def _failed(self, context: Context, error: BaseException) -> dict[str, Any]:
        return record(Condition.FAILED, error=error_of(error), secure=is_secure(self.activity))


class AdfActivityOperator(_AdfOperator):
    """An activity that is one task. Its output, its error and how it ended are the XCom ``adf_record``.

    :param refusal: why it cannot run here; it fails with that when it is reached.
    """

    def __init__(self, *, refusal: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.refusal = refusal
        self._inner: Inner | None = None

    def on_kill(self) -> None:
        if self._inner:
            self._inner.kill()

    def execute(self, context: Context) -> None:
        self._inner = Inner(context)
        try:
            self._act(context, self._inner)
        finally:
            self._inner.close()

    def _act(self, context: Context, inner: Inner) -> None:
        view = self._view(context)
        view.inner = inner
        if not self._gate(view):
            raise AirflowSkipException(f"activity {self.activity.name!r} is skipped: its dependencies ended otherwise")
        if not self.activity.active:
            self._tell(context, record(self.activity.on_inactive_mark_as))
            mark(self.activity.on_inactive_mark_as, f"activity {self.activity.name!r} is inactive")
            return
        try:
            if self.refusal:
                raise ConfigurationError(self.refusal)
            if is_secure(self.activity):
                seal({})  # before there is anything that an error could show
            call = Call(view, self.activity, self.log)
            output = run_container(call) if self.activity.branches else action_of(self.activity)(call)
        except Exception as error:
            self._tell(context, self._failed(context, error))
            if is_secure(self.activity):
                final = isinstance(error, SpecError | ConfigurationError | ActivityFailed) and not self.retries
                raise (AirflowFailException if final else ProviderError)(told_of(self.activity)) from None
            if isinstance(error, SpecError | ConfigurationError | ActivityFailed) and not self.retries:
                raise AirflowFailException(str(error)) from error
            raise
        self._tell(context, record(Condition.SUCCEEDED, output=output, secure=bool(self.activity.policy.secure_output)))


class AdfEnterOperator(_AdfOperator):
    """The beginning of a container: which branch is taken, or which items there are. It ends well whatever it finds.

    Its XCom is the list of items, each ``{"item": …}``.
    """

    def execute(self, context: Context) -> list[dict[str, Any]]:
        view = self._view(context)
        found: dict[str, Any] = {"status": str(Condition.SKIPPED), "taken": None}
        items: list[Any] = []
        try:
            if self._gate(view):
                if self.activity.active:
                    call = Call(view, self.activity, self.log)
                    branch, items = self._judged(call)
                    begun = {"job": job_run(call, self.activity.job)} if self.activity.job else {}
                    found = {"status": str(Condition.SUCCEEDED), "taken": branch, **begun}
                else:
                    found["status"] = str(self.activity.on_inactive_mark_as)
        except Exception as error:  # noqa: BLE001  the container's last task fails with it
            self.log.warning("%s failed: %s", self.activity.name, error)
            found = {"status": str(Condition.FAILED), "taken": None, "error": error_of(error)}
        self._tell(context, found)
        return [{"item": item} for item in items]

    def _judged(self, call: Call) -> tuple[str | None, list[Any]]:
        if self.activity.type.casefold() == "foreach":
            return "body", items_of(call)
        if self.activity.type == FOR_EACH:
            return "body", inputs_of(call)
        if self.activity.job:
            return "tasks", []
        return taken(call), []


class AdfEndOperator(_AdfOperator):
    """The end of a container: its verdict over the activities inside."""

    def execute(self, context: Context) -> None:
        view = self._view(context)
        entered = view.pull(self.place.enters[self.activity.name], RECORD) or {"status": str(Condition.FAILED)}
        status, error = Condition(entered["status"]), entered.get("error") or {}
        output: Any = {}
        if status is Condition.SUCCEEDED and entered["taken"]:
            status, error, output = self._inside(view, entered["taken"])
        if status is not Condition.SKIPPED:
            secure = bool(self.activity.policy.secure_output)
            self._tell(context, record(status, output=output, error=error, secure=secure))
        mark(status, f"activity {self.activity.name!r}: {error.get('message', status)}")

    def _inside(self, view: View, label: str) -> tuple[Condition, dict[str, Any], Any]:
        branch = next((one for one in self.activity.branches if one.label == label), None)
        if branch is None or not branch.activities:
            return Condition.SUCCEEDED, {}, {}
        states = view.states([self.place.ends[one.name].task_id for one in branch.activities])
        rounds = self._suffixes(view)
        failed = [suffix for suffix in rounds if self._ended(view, branch, states, suffix) is Condition.FAILED]
        output = {"count": len(rounds)} if self._maps else job_output(view, branch.activities) if self.activity.job else {}
        if failed:
            return Condition.FAILED, {"message": f"the inside failed ({len(failed)} of {len(rounds)})", "errorCode": ""}, output
        return Condition.SUCCEEDED, {}, output

    @property
    def _maps(self) -> bool:
        return self.activity.type.casefold() in LOOPS

    def _suffixes(self, view: View) -> list[str]:
        """What follows the task ids in the names of the states, for each time that the inside ran."""
        if self._maps:
            items = view.pull(self.place.enters[self.activity.name], "return_value") or []
            return [f"_{index}" for index in range(len(items))]
        return [f"_{view.ti.map_index}" if self.place.ends[self.activity.name].mapped else ""]

    def _ended(self, view: View, branch: Branch, states: dict[str, Any], suffix: str) -> Condition:
        found = {one.name: condition_of(states.get(self.place.ends[one.name].task_id + suffix)) for one in branch.activities}
        return dependencies.verdict(branch.activities, found, taken_of(view, branch.activities))


class AdfPrepareOperator(_AdfOperator):
    """The beginning of an activity that other operators run. Its XCom is the activity's type properties, with their values; of a
    Spark activity, and of a Copy that Spark does, the fields of its program.

    :param converts: it is such a Copy.
    """

    def __init__(self, *, converts: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.converts = converts

    def execute(self, context: Context) -> Any:
        view = self._view(context)
        if not self._gate(view):
            raise AirflowSkipException(f"activity {self.activity.name!r} is skipped: its dependencies ended otherwise")
        if not self.activity.active:
            mark(self.activity.on_inactive_mark_as, f"activity {self.activity.name!r} is inactive")
            raise AirflowSkipException(f"activity {self.activity.name!r} is inactive")
        if self.activity.policy.secure_input:
            fix = "take secrets from a connection instead"
            raise AirflowFailException(
                f"activity {self.activity.name!r}: secureInput: its properties would lie open in an XCom: {fix}"
            )
        with final_errors():
            kind = self.activity.type.casefold()
            if (refused := next(refused_properties(self.activity), None)) and kind not in REGISTERED:
                raise SpecError(f"activity {self.activity.name!r}: {refused}")
            properties = task_properties(view, self.activity) if self.activity.task else None
        if properties is None:
            properties = view.resolve(self.activity.type_properties)
        with final_errors():
            if kind in spark_programs.SPARK:
                return self._shipped(
                    context, spark_programs.job(kind, properties, spark_programs.Source(self.place.programs, self._named))
                )
            if self.converts:
                return self._shipped(context, conversion(Call(view, self.activity, self.log)))
            return properties

    def _shipped(self, context: Context, job: spark_programs.Job) -> dict[str, Any]:
        """The fields of the program; what its run needs beside is in the XComs ``libraries`` and ``spark_conf``."""
        for key in ("libraries", "spark_conf"):
            context["ti"].xcom_push(key=key, value=getattr(job, key))
        return job.program

    def _named(self, kind: str, name: str) -> Resource | None:
        return self.place.factory.named(kind, name, self.place.pipeline.source)


class AdfFinishOperator(_AdfOperator):
    """The end of an activity that other operators ran: how they ended, and the XCom of one of them as its output.

    :param inside: their task ids.
    :param result: the one whose XCom is the output.
    """

    def __init__(self, *, inside: Sequence[str], result: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inside = list(inside)
        self.result = result

    def execute(self, context: Context) -> None:
        view = self._view(context)
        mapped = self.place.ends[self.activity.name].mapped
        begin, *rest = [Spot(task_id, mapped) for task_id in self.inside]
        states = view.states(self.inside)
        status = condition_of(states.get(view.state_key(begin)))
        if status is Condition.SKIPPED and not self.activity.active and self._gate(view):
            status = self.activity.on_inactive_mark_as
        if status is Condition.SUCCEEDED and any(
            condition_of(states.get(view.state_key(spot))) is Condition.FAILED for spot in rest
        ):
            status = Condition.FAILED
        output: Any = {}
        if self.result and status is Condition.SUCCEEDED:
            output = spark_programs.output(self.activity.type, view.pull(Spot(self.result, mapped), "return_value"))
        error = {"message": "its tasks failed", "errorCode": "", "failureType": "UserError"} if status is Condition.FAILED else {}
        if status is not Condition.SKIPPED:
            secure = bool(self.activity.policy.secure_output)
            self._tell(context, record(status, output=output, error=error, secure=secure))
        mark(status, f"activity {self.activity.name!r}: {error.get('message', status)}")


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
        return view.variables().get(RETURN_VALUE)


def mark(status: Condition, why: str) -> None:
    """End the task as an activity ended."""
    if status is Condition.FAILED:
        raise AirflowFailException(why)
    if status is Condition.SKIPPED:
        raise AirflowSkipException(why)
