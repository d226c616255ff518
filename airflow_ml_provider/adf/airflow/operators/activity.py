"""The operators behind a pipeline's activities. None has a template: properties are ADF's expressions, never Jinja."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.operator import BaseOperator

from airflow_ml_provider._compat import AirflowFailException, AirflowSkipException
from airflow_ml_provider.adf.airflow.activities.control import ActivityFailed, Call, items_of
from airflow_ml_provider.adf.airflow.activities.databricks_job import inputs_of, job_output, job_run, task_properties
from airflow_ml_provider.adf.airflow.activities.databricks_job import taken as taken_of
from airflow_ml_provider.adf.airflow.activities.registry import action_of
from airflow_ml_provider.adf.airflow.activity_facts import STARTED, facts, now, read, written
from airflow_ml_provider.adf.airflow.data.copy_output import copy_output
from airflow_ml_provider.adf.airflow.hosted_activities import REGISTERED
from airflow_ml_provider.adf.airflow.operators.clusters import TOLD, telling
from airflow_ml_provider.adf.airflow.operators.inner_activities import run_container, run_items, taken
from airflow_ml_provider.adf.airflow.operators.inner_spark import Inner
from airflow_ml_provider.adf.airflow.operators.item_pages import PAGE, mapped_over
from airflow_ml_provider.adf.airflow.operators.pipeline_end import mark
from airflow_ml_provider.adf.airflow.operators.spark_copy import conversion
from airflow_ml_provider.adf.airflow.run_state import RECORD, condition_of, error_of, record
from airflow_ml_provider.adf.airflow.run_view import View
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
        view = View(context, self.place, self.loop)
        page = view.page()
        return self._act(context, view) if page is None else self._run_page(context, view, page)

    def on_kill(self) -> None:
        if self._inner:
            self._inner.kill()

    def _act(self, context: Context, view: View) -> Any:
        raise NotImplementedError

    @contextmanager
    def _inside(self, context: Context, view: View) -> Iterator[None]:
        """Spark in this task, which a kill of it cancels."""
        view.inner = self._inner = Inner(context)
        try:
            yield
        finally:
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

    def _failed(self, view: View, error: BaseException, began: datetime) -> dict[str, Any]:
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


class AdfActivityOperator(_AdfOperator):
    """An activity that is one task. Its output, its error and how it ended are the XCom ``adf_record``.

    :param refusal: why it cannot run here; it fails with that when it is reached.
    """

    def __init__(self, *, refusal: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.refusal = refusal

    def _act(self, context: Context, view: View) -> None:
        with self._inside(context, view):
            self._run(context, view)

    def _run(self, context: Context, view: View) -> None:
        if not self._gate(view):
            raise AirflowSkipException(f"activity {self.activity.name!r} is skipped: its dependencies ended otherwise")
        if not self.activity.active:
            self._tell(context, record(self.activity.on_inactive_mark_as))
            mark(self.activity.on_inactive_mark_as, f"activity {self.activity.name!r} is inactive")
            return
        began = now()
        try:
            if self.refusal:
                raise ConfigurationError(self.refusal)
            if is_secure(self.activity):
                seal({})  # before there is anything that an error could show
            call = Call(view, self.activity, self.log)
            output = run_container(call) if self.activity.branches else action_of(self.activity)(call)
        except Exception as error:
            self._tell(context, self._failed(view, error, began))
            if is_secure(self.activity):
                final = isinstance(error, SpecError | ConfigurationError | ActivityFailed) and not self.retries
                raise (AirflowFailException if final else ProviderError)(told_of(self.activity)) from None
            if isinstance(error, SpecError | ConfigurationError | ActivityFailed) and not self.retries:
                raise AirflowFailException(view.secrets.clean(str(error))) from (
                    None if view.secrets.are_in(str(error)) else error
                )
            if view.secrets.are_in(str(error)):
                raise ProviderError(view.secrets.clean(str(error))) from None
            raise
        secure = bool(self.activity.policy.secure_output) or view.secrets.are_in(output)
        self._tell(context, record(Condition.SUCCEEDED, output=output, secure=secure, facts=self._facts(view, began)))


class AdfEnterOperator(_AdfOperator):
    """The beginning of a container: which branch is taken, or which items there are. It ends well whatever it finds.

    Its XCom is what the tasks of a loop are mapped over.
    """

    def _act(self, context: Context, view: View) -> list[dict[str, Any]]:
        found: dict[str, Any] = {"status": str(Condition.SKIPPED), "taken": None}
        items: list[dict[str, Any]] = []
        try:
            if self._gate(view):
                self._began(context)
                if self.activity.active:
                    call = Call(view, self.activity, self.log)
                    branch, listed = self._judged(call)
                    items = [view.secrets.sealed(one) for one in mapped_over(listed, self.activity.name)]
                    begun = {"job": job_run(call, self.activity.job)} if self.activity.job else {}
                    found = {"status": str(Condition.SUCCEEDED), "taken": branch, **begun}
                else:
                    found["status"] = str(self.activity.on_inactive_mark_as)
        except Exception as error:  # noqa: BLE001  the container's last task fails with it
            told = {**error_of(error), "message": view.secrets.clean(error_of(error)["message"])}
            self.log.warning("%s failed: %s", self.activity.name, told["message"])
            found = {"status": str(Condition.FAILED), "taken": None, "error": told}
        self._tell(context, found)
        return items

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

    def _act(self, context: Context, view: View) -> None:
        enter = self.place.enters[self.activity.name]
        entered = view.pull(enter, RECORD) or {"status": str(Condition.FAILED)}
        status, error = Condition(entered["status"]), entered.get("error") or {}
        if condition_of(view.states([enter.task_id]).get(view.state_key(enter))) is Condition.FAILED:
            status, error = Condition.FAILED, error or {"message": f"task {enter.task_id} failed", "errorCode": ""}
        output: Any = {}
        if status is Condition.SUCCEEDED and entered["taken"]:
            status, error, output = self._ending(view, entered["taken"])
        if status is not Condition.SKIPPED:
            secure = bool(self.activity.policy.secure_output)
            about = self._facts(view, read(view.pull(enter, STARTED)))
            self._tell(context, record(status, output=output, error=error, secure=secure, facts=about))
        mark(status, f"activity {self.activity.name!r}: {error.get('message', status)}")

    def _ending(self, view: View, label: str) -> tuple[Condition, dict[str, Any], Any]:
        branch = next((one for one in self.activity.branches if one.label == label), None)
        if branch is None or not branch.activities:
            return Condition.SUCCEEDED, {}, {}
        if self._maps and (pages := self._pages(view)):
            return self._of_pages(view, pages)
        states = view.states([self.place.ends[one.name].task_id for one in branch.activities])
        rounds = self._suffixes(view)
        failed = [suffix for suffix in rounds if self._ended(view, branch, states, suffix) is Condition.FAILED]
        output = {"count": len(rounds)} if self._maps else job_output(view, branch.activities) if self.activity.job else {}
        if failed:
            return Condition.FAILED, {"message": f"the inside failed ({len(failed)} of {len(rounds)})", "errorCode": ""}, output
        return Condition.SUCCEEDED, {}, output

    def _pages(self, view: View) -> list[list[Any]]:
        listed = view.pull(self.place.enters[self.activity.name], "return_value") or []
        opened = map(view.secrets.opened, listed)
        return [one["page"] for one in opened if "page" in one]

    def _of_pages(self, view: View, pages: list[list[Any]]) -> tuple[Condition, dict[str, Any], Any]:
        """The verdict over pages; one whose task died before it could tell has failed."""
        runner = self.place.page_runners[self.activity.name].task_id
        told = [view.ti.xcom_pull(task_ids=runner, key=PAGE, map_indexes=index) for index in range(len(pages))]
        failed = [(one or {}).get("error", {}).get("message") for one in told if (one or {}).get("status") != Condition.SUCCEEDED]
        output = {"count": sum(map(len, pages))}
        if not failed:
            return Condition.SUCCEEDED, {}, output
        message = f"the inside failed in {len(failed)} of {len(pages)} pages of items: {failed[0] or 'its task died'}"
        return Condition.FAILED, {"message": message, "errorCode": ""}, output

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

    skips_after_page = True

    def __init__(self, *, converts: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.converts = converts

    def _act(self, context: Context, view: View) -> Any:
        with telling(context):
            return self._prepared(context, view)

    def _prepared(self, context: Context, view: View) -> Any:
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
        self._began(context)
        with final_errors():
            kind = self.activity.type.casefold()
            if (refused := next(refused_properties(self.activity), None)) and kind not in REGISTERED:
                raise SpecError(f"activity {self.activity.name!r}: {refused}")
            properties = task_properties(view, self.activity) if self.activity.task else None
        if properties is None:
            properties = view.resolve(self.activity.type_properties)
        if view.secrets.are_in(properties):
            fix = "take it from a connection instead"
            raise AirflowFailException(f"activity {self.activity.name!r}: its properties hold a secret, open in an XCom: {fix}")
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

    def _act(self, context: Context, view: View) -> None:
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
        failed = [spot for spot in (begin, *rest) if condition_of(states.get(view.state_key(spot))) is Condition.FAILED]
        error = self._error(view, failed) if status is Condition.FAILED else {}
        if self.activity.type.casefold() == "copy" and (began := read(view.pull(begin, STARTED))):
            output = copy_output(output or {}, began, error=ActivityFailed(error["message"]) if error else None)
        if status is not Condition.SKIPPED:
            secure = bool(self.activity.policy.secure_output)
            about = self._facts(view, read(view.pull(begin, STARTED)))
            self._tell(context, record(status, output=output, error=error, secure=secure, facts=about))
        mark(status, f"activity {self.activity.name!r}: {error.get('message', status)}")

    def _error(self, view: View, failed: list[Spot]) -> dict[str, Any]:
        """What the first task that failed has told; else which tasks failed."""
        told = next((found for spot in failed if (found := view.pull(spot, TOLD))), None)
        names = ", ".join(spot.task_id for spot in failed) or "none"
        return dict(told or {"message": f"its tasks failed: {names}", "errorCode": "", "failureType": "UserError"})
