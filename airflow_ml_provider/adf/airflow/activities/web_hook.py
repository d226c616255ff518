"""WebHook: a request that hands its answerer an address, and the wait until that is called."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call
from airflow_ml_provider.adf.airflow.activities.web import send
from airflow_ml_provider.adf.airflow.journal import Waiting
from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.hooks.callbacks import Ticket, opened

_TEN_MINUTES = 600.0
_LATE = 0.1


def webhook(call: Call) -> Any:
    """POST the body with ``callBackUri``, and wait until it is called; the output is what it is told."""
    ticket, timeout = (
        Ticket(**call.once("ticket", lambda: asdict(Ticket.of(call.view.ti)))),
        seconds_of(call("timeout")) or _TEN_MINUTES,
    )
    deadline = call.once("deadline", lambda: time.time() + timeout)
    if not call.once("sent", lambda: False):
        answer = send(call, {**_body(call), "callBackUri": ticket.address()})
        if not answer.ok:
            raise ActivityFailed(f"POST was answered {answer.status_code}: {answer.text[:500]}", str(answer.status_code))
        call.note("sent", True)
    if (found := _told(call, ticket)) is None:
        if time.time() > deadline:
            raise ActivityFailed(f"activity {call.activity.name!r}: nobody has called back within {timeout:g} s", "2001")
        call.wait_for(Waiting(deadline + _LATE, xcom=(ticket.task_id, ticket.key, ticket.map_index)))
    told = opened(found)
    output = told if isinstance(told, Mapping) else {"Response": told}
    if call("reportStatusOnCallBack", False):
        _raise_for(output)
    return output


def _body(call: Call) -> Mapping[str, Any]:
    body = call("body", {})
    try:
        found = json.loads(body) if isinstance(body, str) else body
    except ValueError:
        found = body
    if not isinstance(found, Mapping):
        raise SpecError(
            f"activity {call.activity.name!r}: body: got {type(found).__name__}: takes an object, which callBackUri joins"
        )
    return found


def _told(call: Call, ticket: Ticket) -> Any:
    return call.view.ti.xcom_pull(task_ids=ticket.task_id, key=ticket.key, map_indexes=ticket.map_index)


def _raise_for(told: Mapping[str, Any]) -> None:
    """Fail with what the caller reports."""
    status = str(pick(told, "StatusCode") or "200")
    if status.isdecimal() and int(status) < 400:
        return
    error = pick(told, "Error") or {}
    raise ActivityFailed(str(pick(error, "Message") or f"the caller reports {status}"), str(pick(error, "ErrorCode") or status))
