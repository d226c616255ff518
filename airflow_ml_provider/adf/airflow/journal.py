"""What a task has done so far, for the time after it was deferred: waiting holds no worker, and nothing that has ended runs again.

A task that waits leaves its worker, and comes back to it as a new process that goes the same way through its activities once more.
Whatever may not happen twice, or may come out differently the second time, is noted here under a key: records of activities that have
ended, items of loops, moments until which something waits, ids of runs that were started. What a round of a loop has noted is forgotten at
its end, so a journal is as long as what is still open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_ml_provider.adf.airflow.secure_values import seal, unseal
from airflow_ml_provider.core.errors import ConfigurationError

T = TypeVar("T")
JOURNAL = "adf_journal"
"""The XCom of a task that waits, or has waited."""
_SEALED = "sealed"


@dataclass(frozen=True)
class Waiting:
    """What a task waits for: the first of these that happens.

    :param until: a moment, in seconds since the epoch.
    :param run: the DAG and the id of a run that is to end.
    :param xcom: the task, the key and the map index of an XCom of this DAG run that is to come.
    """

    until: float | None = None
    run: tuple[str, str] | None = None
    xcom: tuple[str, str, int] | None = None


class Pausing(BaseException):
    """The task leaves its worker until something has happened."""

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting
        super().__init__(f"waits for {waiting}")


class Journal:
    """Notes by key: JSON values."""

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}
        self.is_resumed = False

    def once(self, key: str, make: Callable[[], T]) -> T:
        """The value under a key; made and noted where there is none."""
        if key not in self.notes:
            self.notes[key] = make()
        found: T = self.notes[key]
        return found

    def forget(self, *beginnings: str) -> None:
        """Drop all notes whose keys begin so."""
        self.notes = {key: value for key, value in self.notes.items() if not key.startswith(beginnings)}

    def kept(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """The journal and more as an XCom, sealed where this Airflow has a Fernet key: notes may hold what is secret.

        :raises TypeError: a note is no JSON.
        """
        found = {"notes": self.notes, **more}
        try:
            return {_SEALED: seal(found)}
        except ConfigurationError:
            return found

    @classmethod
    def opened(cls, found: Mapping[str, Any]) -> tuple[Journal, dict[str, Any]]:
        """A journal that was kept, and what was kept with it."""
        more = dict(unseal(found[_SEALED]) if _SEALED in found else found)
        journal = cls()
        journal.notes, journal.is_resumed = more.pop("notes"), True
        return journal, more
