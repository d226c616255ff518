"""The faults of :mod:`tests.fakes.faults` between the memory backend and its service."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from airflow_ml_provider.backends.memory import MemoryService, Refused
from airflow_ml_provider.core.state import LogPage
from tests.fakes.faults import NEW_STATE, Armed, Fault, Faults

CALLS = {name: name for name in ("create", "describe", "terminate", "owned", "submit", "poll", "cancel", "logs")}
"""By the backend's method: the service's call. As in :data:`tests.fakes.emr_faults.CALLS`."""
_SECONDS_OF_SLOW = 0.02
_BEFORE: dict[Fault, Exception] = {
    Fault.REFUSED: ConnectionRefusedError("nothing listens"),
    Fault.RESET: ConnectionResetError("reset by peer"),
    Fault.THROTTLED: Refused("throttled"),
    Fault.BROKEN_BEFORE: Refused("internal"),
    Fault.FOREIGN_ANSWER: ConnectionError("the answer is not the service's"),
    Fault.FOREIGN_REFUSAL: ConnectionError("the answer is not the service's"),
    Fault.EXPIRED: Refused("expired"),
    Fault.DENIED: Refused("denied"),
    Fault.LOG_DENIED: Refused("denied"),
}
"""What the client meets in place of an answer. No work is done."""
_AFTER: dict[Fault, Exception] = {
    Fault.ANSWER_LOST: ConnectionAbortedError("closed without an answer"),
    Fault.ANSWER_LATE: TimeoutError("no answer in time"),
    Fault.BROKEN_AFTER: Refused("internal"),
    Fault.BODY_CUT: ConnectionError("the answer ends in its middle"),
    Fault.LOG_CORRUPT: Refused("unreadable", "the log cannot be read"),
}
"""The same after the work was done."""


class FaultyWire:
    """Makes the calls of one memory service, with the armed faults."""

    def __init__(self, service: MemoryService, faults: Faults) -> None:
        self.service, self.faults = service, faults
        self.expired = False

    def __call__(self, call: str, subject: str, work: Callable[[], Any]) -> Any:
        armed = self.faults.take(call, subject, log=call == "logs")
        fault = self._lasting() or (armed.fault if armed else None)
        if fault in _BEFORE:
            self.expired = self.expired or fault is Fault.EXPIRED
            raise _BEFORE[fault]
        if fault is Fault.SLOW:
            time.sleep(_SECONDS_OF_SLOW)
        answer = work()
        if fault in _AFTER:
            raise _AFTER[fault]
        return self._changed(call, armed, answer) if armed else answer

    def _lasting(self) -> Fault | None:
        """The fault that hits every call until it is cleared."""
        if self.faults.armed(Fault.REFUSED):
            return Fault.REFUSED
        self.expired = self.expired and self.faults.armed(Fault.EXPIRED)
        return Fault.EXPIRED if self.expired else None

    def _changed(self, call: str, armed: Armed, answer: Any) -> Any:
        if armed.fault is Fault.INVISIBLE and call in ("create", "submit"):
            self.service.hide(answer, armed.looks)
        if armed.fault is Fault.UNKNOWN_STATE and isinstance(answer, dict):
            return {id_: replace(status, state=NEW_STATE) for id_, status in answer.items()}
        if armed.fault is Fault.LOG_TRUNCATED and isinstance(answer, LogPage):
            lost = len(answer.lines) - len(answer.lines) // 2
            return LogPage(answer.lines[:-lost], cursor=str(int(answer.cursor or 0) - lost)) if lost else answer
        return answer
