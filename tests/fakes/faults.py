"""The faults that every fake of a service can be told to have, by one set of names.

A test arms a fault, and the fake fails as the real service would::

    services.faults.add(Fault.ANSWER_LOST, "RunJobFlow")            # the next call only
    services.faults.add(Fault.THROTTLED, "List*", times=5)          # the next five calls of these names
    services.faults.add(Fault.DENIED, "GetObject */stdout.gz", times=None)   # until clear()
    services.faults.clear()

A call is matched by its name at the service, or by its name and subject: for objects in S3 ``<name> <bucket>/<key>``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class Fault(StrEnum):
    """What can go wrong."""

    ANSWER_LOST = "answer_lost"
    """The service does the work, then closes the connection without an answer."""
    ANSWER_LATE = "answer_late"
    """The service does the work, and the answer comes after the client has given up. Use a client with a short read timeout."""
    REFUSED = "refused"
    """Nothing listens: every call of every name is refused. Lasts until :meth:`Faults.clear`."""
    RESET = "reset"
    """The service resets the connection before it does the work."""
    SLOW = "slow"
    """The answer takes a moment, and less than the client's read timeout."""
    THROTTLED = "throttled"
    """The service refuses the call because there are too many, and does no work."""
    BROKEN_BEFORE = "broken_before"
    """The service answers with an internal error (5xx), and has done no work."""
    BROKEN_AFTER = "broken_after"
    """The service answers with an internal error (5xx), and has done the work."""
    INVISIBLE = "invisible"
    """What the matching call makes is not shown for ``looks`` looks: it is in no list, and unknown to calls that name it."""
    EXPIRED = "expired"
    """The credentials of the matching call expire. No call with them is accepted until :meth:`Faults.clear`; others work."""
    DENIED = "denied"
    """The credentials lack the permission for the call."""
    UNKNOWN_STATE = "unknown_state"
    """Every state in the answer is :data:`NEW_STATE`, which no version of a client knows."""
    LOG_DENIED = "log_denied"
    """The credentials may not read logs."""
    LOG_TRUNCATED = "log_truncated"
    """A log's object ends in the middle."""
    LOG_CORRUPT = "log_corrupt"
    """A log's object has other bytes in its middle."""
    FOREIGN_ANSWER = "foreign_answer"
    """A gateway between answers with a page of its own and status 200. The service does not get the call."""
    FOREIGN_REFUSAL = "foreign_refusal"
    """The same with status 404: a gateway that has lost its way to the service for a moment."""
    BODY_CUT = "body_cut"
    """The connection closes in the middle of the answer's body."""


NEW_STATE = "HIBERNATING"
"""A native state from a later version of the service."""
OF_LOGS = frozenset({Fault.LOG_DENIED, Fault.LOG_TRUNCATED, Fault.LOG_CORRUPT})
AMBIGUOUS = frozenset(
    {
        Fault.ANSWER_LOST,
        Fault.ANSWER_LATE,
        Fault.BROKEN_BEFORE,
        Fault.BROKEN_AFTER,
        Fault.RESET,
        Fault.FOREIGN_ANSWER,
        Fault.FOREIGN_REFUSAL,
    }
)
"""After these a client cannot tell whether the work was done."""
PASSING = frozenset({*AMBIGUOUS, Fault.REFUSED, Fault.SLOW, Fault.THROTTLED, Fault.BODY_CUT, Fault.FOREIGN_ANSWER})
"""These pass by themselves: asking again is right, and a healthy job must survive them."""


@dataclass(eq=False)
class Armed:
    """A fault that waits for its call.

    :param times: calls that it still hits; None for all until it is cleared.
    """

    fault: Fault
    call: str
    times: int | None
    looks: int


class Faults:
    """The armed faults of one fake. Safe to use from several threads.

    :param on_refused: called with True when nothing shall listen any more, and with False when something shall again.
    """

    def __init__(self, on_refused: Callable[[bool], None] = lambda _: None) -> None:
        self.met: Counter[tuple[Fault, str]] = Counter()
        """How often each fault has hit a call of each name."""
        self.chance: Callable[[str], Fault | None] = lambda _: None
        """Asked for a fault for each call that no armed one hits: for storms of random faults. Called with ``<name> <subject>``."""
        self._on_refused = on_refused
        self._armed: list[Armed] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault, call: str = "*", *, times: int | None = 1, looks: int = 3) -> None:
        """Arm a fault.

        :param call: a pattern as of ``fnmatch`` for the names of calls that it hits.
        :param times: calls that it hits; None for all until :meth:`clear`.
        :param looks: for :attr:`Fault.INVISIBLE`.
        """
        with self._lock:
            self._armed.append(Armed(fault, call, times, looks))
        if fault is Fault.REFUSED:
            self._on_refused(True)

    def clear(self) -> None:
        """Work well again. What is invisible stays so for the rest of its looks."""
        with self._lock:
            refused = any(armed.fault is Fault.REFUSED for armed in self._armed)
            self._armed.clear()
            self.chance = lambda _: None
        if refused:
            self._on_refused(False)

    def take(self, name: str, subject: str = "", *, log: bool = False) -> Armed | None:
        """The fault that hits a call, if one does; it then counts as met.

        :param subject: what the call is about.
        :param log: whether it reads a log.
        """
        with self._lock:
            for armed in self._armed:
                hits = fnmatchcase(name, armed.call) or fnmatchcase(f"{name} {subject}", armed.call)
                if not hits or armed.times == 0 or armed.fault is Fault.REFUSED or (armed.fault in OF_LOGS and not log):
                    continue
                armed.times = None if armed.times is None else armed.times - 1
                self.met[armed.fault, name] += 1
                return armed
            if fault := self.chance(f"{name} {subject}".rstrip()):
                self.met[fault, name] += 1
                return Armed(fault, name, 1, 3)
        return None

    def armed(self, fault: Fault) -> bool:
        """Whether it was armed and has not been cleared, whatever it has hit."""
        with self._lock:
            return any(armed.fault is fault for armed in self._armed)

    def expect_met(self, fault: Fault) -> None:
        """Fail unless the fault has hit a call: a test that meets no fault shows nothing."""
        assert fault is Fault.REFUSED or any(met is fault for met, _ in self.met), f"no call has met {fault}: {dict(self.met)}"
