"""The first and the last task of a container: an If, a Switch, a ForEach, a Databricks job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ml_provider.adf.airflow.activities.call import Call, items_of
from airflow_ml_provider.adf.airflow.activities.databricks_job import inputs_of, job_output, job_run
from airflow_ml_provider.adf.airflow.activities.databricks_job import taken as taken_of
from airflow_ml_provider.adf.airflow.activity_facts import STARTED, read
from airflow_ml_provider.adf.airflow.operators.base import AdfOperator
from airflow_ml_provider.adf.airflow.operators.inner_activities import taken
from airflow_ml_provider.adf.airflow.operators.item_pages import PAGE, mapped_over
from airflow_ml_provider.adf.airflow.operators.pipeline_end import mark
from airflow_ml_provider.adf.airflow.run_state import RECORD, condition_of, error_of, record
from airflow_ml_provider.adf.airflow.run_view import View
from airflow_ml_provider.adf.model import LOOPS, Branch, Condition
from airflow_ml_provider.adf.rules import dependencies
from airflow_ml_provider.adf.support.databricks_jobs import FOR_EACH

if TYPE_CHECKING:
    from airflow.sdk import Context


class AdfEnterOperator(AdfOperator):
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


class AdfEndOperator(AdfOperator):
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
