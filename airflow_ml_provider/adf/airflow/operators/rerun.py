"""Windows that are handled again: a run cannot clear itself, so a DAG beside the pipeline's clears the runs that failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG
from airflow.sdk.bases.sensor import BaseSensorOperator

from airflow_ml_provider.adf.airflow.started_runs import run_id_after, start_run
from airflow_ml_provider.adf.triggers.windows import Windows
from airflow_ml_provider.core.errors import ProviderError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ml_provider.adf.airflow.run_view import View

_POLL = 30.0


class AdfAgainOperator(BaseSensorOperator):
    """Clear a run that failed, once the pause has passed; nothing when it runs again already, or was cleared and succeeded.

    The run's configuration is the run to clear: ``{"dag_id": …, "run_id": …}``.
    """

    ui_color = "#dce9f5"

    def __init__(self, *, pause: timedelta, **kwargs: Any) -> None:
        poll = max(min(pause.total_seconds(), _POLL), 1.0)
        super().__init__(mode="reschedule", poke_interval=poll, timeout=pause + timedelta(days=1), retries=3, **kwargs)
        self.pause = pause

    def poke(self, context: Context) -> bool:
        run = context["dag_run"]
        failed = dict(run.conf or {})
        state = context["ti"].get_dagrun_state(failed["dag_id"], failed["run_id"])
        if state != "failed" or datetime.now(UTC) < run.run_after + self.pause:
            return bool(state == "success")
        start_run(failed["dag_id"], failed["run_id"], {}, again=True)
        self.log.info("Run %s of DAG %s runs again", failed["run_id"], failed["dag_id"])
        return True


def again_dag(dag_id: str, windows: Windows) -> DAG:
    """The DAG that clears another one's runs."""
    told = "Clears the runs of windows for which the pipeline failed, as its trigger's `retryPolicy` asks for."
    fields: dict[str, Any] = {
        "schedule": None,
        "catchup": False,
        "is_paused_upon_creation": False,
        "tags": ["adf"],
        "doc_md": told,
    }
    with DAG(dag_id=dag_id, **fields) as dag:
        AdfAgainOperator(task_id="again", pause=windows.pause)
    return dag


def ask_again(view: View, log: Any) -> None:
    """Have the run of a window that failed cleared, as long as its trigger's policy has attempts left."""
    start, number = view.start, view.ti.try_number
    if not (start and isinstance(start.timing, Windows) and view.place.again and number <= start.timing.retries):
        return
    run_id = run_id_after(view.ti.run_id, f"again_{number}")
    try:
        start_run(view.place.again, run_id, {"dag_id": view.ti.dag_id, "run_id": view.ti.run_id})
    except ProviderError as error:
        log.warning("The window is not handled again: %s", error)
        return
    log.info("Attempt %d of %d failed: the next one begins %s later", number, start.timing.retries + 1, start.timing.pause)
