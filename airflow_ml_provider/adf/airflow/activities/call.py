"""What an activity's action is given: its properties, their values, and ways to wait and to fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeVar

from airflow_ml_provider.adf.airflow.journal import Pausing, Waiting
from airflow_ml_provider.adf.airflow.run_view import View
from airflow_ml_provider.adf.airflow.secure_values import hide
from airflow_ml_provider.adf.airflow.time_limits import TimedOut, limit
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.model import Activity
from airflow_ml_provider.core.errors import ProviderError, SpecError

_PART = "\n"
"""Between an activity and what it notes, in the keys of a journal: no name has it."""
_BRIEFLY = 5.0
"""Seconds of a pause that is shorter than it takes to leave a worker and come back to one."""
T = TypeVar("T")


class ActivityFailed(ProviderError):
    """The activity's own verdict.

    :param code: ``activity('…').error.errorCode``.
    :param output: what a failed activity has as its output.
    """

    def __init__(self, message: str, code: str = "", output: Mapping[str, Any] | None = None) -> None:
        self.code, self.output = code, dict(output or {})
        super().__init__(message)


@dataclass(frozen=True)
class Call:
    """One activity that is to run; its properties get their values when they are asked for."""

    view: View
    activity: Activity
    log: Any

    def __call__(self, name: str, default: Any = None) -> Any:
        """The value of a type property, ``default`` when it is missing."""
        raw = pick(self.activity.type_properties, name)
        return default if raw is None else self.resolve(raw)

    def resolve(self, raw: Any) -> Any:
        """The value of a part of a property; that of a secure input is masked in the logs from now on."""
        found = self.view.resolve(raw)
        if self.activity.policy.secure_input:
            hide(found)
        return found

    def required(self, name: str) -> Any:
        """The value of a type property; :class:`SpecError` when it is missing."""
        found = self(name)
        if found is None:
            raise SpecError(f"activity {self.activity.name!r}: {name}: is required")
        return found

    def number(self, name: str, default: float | None = None) -> float:
        found = self.required(name) if default is None else self(name, default)
        try:
            return float(found)
        except (TypeError, ValueError):
            raise SpecError(f"activity {self.activity.name!r}: {name}: got {found!r}: takes a number") from None

    def of(self, activity: Activity) -> Call:
        return replace(self, activity=activity)

    @property
    def key(self) -> str:
        """Of this activity in these rounds of the loops around, in the task's journal."""
        return f"{'.'.join(map(str, self.view.rounds))}/{self.activity.name}"

    def once(self, what: str, make: Callable[[], T]) -> T:
        """What ``make`` gave when the activity came here first, however often the task was deferred since."""
        return self.view.journal.once(f"{self.key}{_PART}{what}", make)

    def note(self, what: str, value: Any) -> None:
        """Change what :meth:`once` gives."""
        self.view.journal.notes[f"{self.key}{_PART}{what}"] = value

    def forget(self, what: str) -> None:
        self.view.journal.forget(f"{self.key}{_PART}{what}")

    def pause(self, until: float) -> None:
        """Return at a moment, in seconds since the epoch; a pause that is not short defers the task."""
        now = time.time()
        if min([until, *self.view.limits]) - now > _BRIEFLY:
            self.wait_for(Waiting(until))
        time.sleep(max(until - now, 0.0))

    def wait_for(self, waiting: Waiting) -> NoReturn:
        """Defer the task; this call of the action ends here, and another one begins when it goes on."""
        moments = [one for one in (waiting.until, *self.view.limits) if one is not None]
        raise Pausing(replace(waiting, until=min(moments, default=None)))


Action = Callable[[Call], Any]


def limited(call: Call, seconds: float, act: Callable[[], Any], more: str = "") -> Any:
    """What ``act`` gives within some seconds, those included for which the task was deferred.

    :raises ActivityFailed: it takes longer.
    """
    name = f"limit {call.view.attempt[0]}"
    end, limits = call.once(name, lambda: time.time() + seconds), call.view.limits
    limits.append(end)
    try:
        with time_limit(seconds, f"activity {call.activity.name!r}", more, left=end - time.time()):
            found = act()
    finally:
        limits.pop()
    return found


@contextmanager
def time_limit(seconds: float, what: str, more: str = "", left: float | None = None) -> Iterator[None]:
    """Raise :class:`ActivityFailed` in the block after so many seconds, or after those that are left of them."""
    try:
        with limit(seconds, left) as mine:
            yield
    except TimedOut as error:
        if error.limit is not mine:
            raise
        raise ActivityFailed(f"{what}: {error}{more}", "2110") from None


def items_of(call: Call) -> list[Any]:
    """The value of ``items``; :class:`SpecError` when it is no list."""
    items = call.required("items")
    if not isinstance(items, list):
        raise SpecError(f"activity {call.activity.name!r}: items: got {type(items).__name__}: takes a list")
    return items


def truth(call: Call, name: str, value: Any) -> bool:
    """A condition's value; :class:`SpecError` when it is neither true nor false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.casefold() in ("true", "false"):
        return value.casefold() == "true"
    raise SpecError(f"activity {call.activity.name!r}: {name}: got {value!r}: takes a boolean")
