"""What tasks tell each other about activities: outputs and errors, and the variables' history, as XComs.

A variable is the sum of its events (set, append), in the order of their stamps. A stamp is later than every one that its writer
has seen, so an activity that ran after another one writes after it, whatever the workers' clocks say; activities that run at the same
time append without losing anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_ml_provider.adf.airflow.activity_facts import complete
from airflow_ml_provider.adf.airflow.secure_values import SEALED, seal, unseal
from airflow_ml_provider.adf.model import Condition

RECORD = "adf_record"
_OF_STATE = {
    "success": Condition.SUCCEEDED,
    "failed": Condition.FAILED,
    "upstream_failed": Condition.FAILED,
    "skipped": Condition.SKIPPED,
}


def condition_of(state: Any) -> Condition:
    """What an ended task's state is in ADF's words; a state that is none counts as Failed, so that nothing goes on by mistake."""
    return _OF_STATE.get(str(getattr(state, "value", state)), Condition.FAILED)


def record(
    status: Condition,
    *,
    output: Any = None,
    error: Mapping[str, Any] | None = None,
    secure: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An activity's end, as :func:`opened` takes it. A secure output is sealed with Airflow's Fernet key.

    :param facts: see :mod:`airflow_ml_provider.adf.airflow.activity_facts`.
    """
    found = {"output": output if output is not None else {}, "error": dict(error or {})}
    return {"status": str(status), "facts": dict(facts or {}), **({SEALED: seal(found)} if secure else found)}


def opened(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """``{"status", "output", "error"}`` of a record, and its facts, each under its name."""
    if not found:
        return {}
    about = {"status": found["status"], **complete(found.get("facts") or {})}
    told = unseal(found[SEALED]) if SEALED in found else {key: found.get(key) or {} for key in ("output", "error")}
    return {**about, **told}


def error_of(error: BaseException) -> dict[str, str]:
    """An exception as ``activity('…').error``."""
    code = str(getattr(error, "code", "") or "")
    return {"message": str(error) or type(error).__name__, "errorCode": code, "failureType": "UserError"}


def fold(events: Iterable[Mapping[str, Any]], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The variables' values after the events."""
    found = dict(defaults)
    for told in sorted(events, key=lambda event: (event["at"], event["by"])):
        event = {**told, **unseal(told[SEALED])} if SEALED in told else told
        if "append" in event:
            found[event["name"]] = [*(found.get(event["name"]) or []), event["append"]]
        else:
            found[event["name"]] = event["value"]
    return found


def stamp(seen: Iterable[Mapping[str, Any]]) -> int:
    """The time in nanoseconds, or later when that is not later than all that was seen."""
    return max(time.time_ns(), 1 + max((event["at"] for event in seen), default=0))
