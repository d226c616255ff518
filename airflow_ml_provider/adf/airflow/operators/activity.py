"""An activity that is one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ml_provider._compat import AirflowFailException, AirflowSkipException
from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call, limited
from airflow_ml_provider.adf.airflow.activities.registry import action_of
from airflow_ml_provider.adf.airflow.activity_facts import now, read, written
from airflow_ml_provider.adf.airflow.operators.base import AdfOperator
from airflow_ml_provider.adf.airflow.operators.inner_activities import run_container
from airflow_ml_provider.adf.airflow.operators.pipeline_end import mark
from airflow_ml_provider.adf.airflow.run_state import record
from airflow_ml_provider.adf.airflow.run_view import View
from airflow_ml_provider.adf.airflow.secure_values import is_secure, seal, told_of
from airflow_ml_provider.adf.model import Condition
from airflow_ml_provider.core.errors import ConfigurationError, ProviderError, SpecError

if TYPE_CHECKING:
    from airflow.sdk import Context


class AdfActivityOperator(AdfOperator):
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
        journal = view.journal
        if not (journal.is_resumed or self._gate(view)):
            raise AirflowSkipException(f"activity {self.activity.name!r} is skipped: its dependencies ended otherwise")
        if not self.activity.active:
            self._tell(context, record(self.activity.on_inactive_mark_as))
            mark(self.activity.on_inactive_mark_as, f"activity {self.activity.name!r} is inactive")
            return
        began = read(journal.once("began", lambda: written(now())))
        try:
            if self.refusal:
                raise ConfigurationError(self.refusal)
            if is_secure(self.activity):
                seal({})  # before there is anything that an error could show
            call = Call(view, self.activity, self.log)
            output = self._output(call)
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

    def _output(self, call: Call) -> Any:
        """What the activity gives. Airflow begins its timeout anew after a task was deferred: this one goes on."""
        act = run_container if self.activity.branches else action_of(self.activity)
        if self.execution_timeout is None or self.activity.branches:
            return act(call)
        return limited(call, self.execution_timeout.total_seconds(), lambda: act(call))
