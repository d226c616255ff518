"""Runs of DAGs that a task starts."""

from __future__ import annotations

import hashlib
from typing import Any

from airflow_ml_provider.core.errors import ProviderError

_LONGEST_ID = 250
_RESERVED = ("scheduled__", "backfill__", "asset_triggered__", "asset_materialization__")


def run_id_after(run_id: str, what: str) -> str:
    """The id of a run that another run starts, no longer than Airflow takes."""
    # before 3.3, Airflow keeps these beginnings for the runs that it makes itself
    found = f"{'from_' if run_id.startswith(_RESERVED) else ''}{run_id}__{what}"
    return found if len(found) <= _LONGEST_ID else f"{found[:150]}__{hashlib.sha256(found.encode()).hexdigest()[:32]}"


def start_run(dag_id: str, run_id: str, conf: dict[str, Any], *, again: bool = False) -> None:
    """Start a run of a DAG, unless there is one of that id.

    :param again: if there is one, clear all of it, so that it runs again.
    :raises ProviderError: Airflow does not.
    """
    from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    answer = SUPERVISOR_COMMS.send(TriggerDagRun(dag_id=dag_id, run_id=run_id, conf=conf, reset_dag_run=again))
    if isinstance(answer, ErrorResponse) and "exists" not in str(answer.error).lower():
        raise ProviderError(f"run {run_id!r} of DAG {dag_id!r} was not started: {answer.error}")


def is_paused(dag_id: str) -> bool:
    """Whether a DAG is paused; False before Airflow 3.2, which does not tell."""
    try:
        from airflow.sdk.execution_time.comms import GetDag
    except ImportError:
        return False
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    return bool(getattr(SUPERVISOR_COMMS.send(GetDag(dag_id=dag_id)), "is_paused", False))
