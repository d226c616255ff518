"""The first and the last task of an activity that other operators run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_ml_provider._compat import AirflowFailException, AirflowSkipException
from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call
from airflow_ml_provider.adf.airflow.activities.databricks_job import task_properties
from airflow_ml_provider.adf.airflow.activity_facts import STARTED, read
from airflow_ml_provider.adf.airflow.data.copy_output import copy_output
from airflow_ml_provider.adf.airflow.hosted_activities import REGISTERED
from airflow_ml_provider.adf.airflow.operators.base import AdfOperator
from airflow_ml_provider.adf.airflow.operators.clusters import TOLD, telling
from airflow_ml_provider.adf.airflow.operators.pipeline_end import mark
from airflow_ml_provider.adf.airflow.operators.spark_copy import conversion
from airflow_ml_provider.adf.airflow.run_state import condition_of, record
from airflow_ml_provider.adf.airflow.run_view import View
from airflow_ml_provider.adf.airflow.task_index import Spot
from airflow_ml_provider.adf.known_properties import refused_properties
from airflow_ml_provider.adf.model import Condition, Resource
from airflow_ml_provider.adf.support import spark_programs
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.operators.base import final_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class AdfPrepareOperator(AdfOperator):
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


class AdfFinishOperator(AdfOperator):
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
