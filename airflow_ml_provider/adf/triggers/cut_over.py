"""From which moment on triggers start their pipelines here, after another service has started them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from typing import TypeAlias

from airflow_ml_provider.adf.model import Factory
from airflow_ml_provider.adf.triggers.reader import Start
from airflow_ml_provider.adf.triggers.recurrence import Recurrence
from airflow_ml_provider.adf.triggers.windows import Windows
from airflow_ml_provider.core.errors import SpecError

Moment: TypeAlias = datetime | date | str
StartFrom: TypeAlias = Moment | Mapping[str, Moment] | None
_EXPECTED = "expected a date and a time, such as '2026-12-01T00:00:00+00:00', or such values by the names of triggers"


def read_start_from(given: StartFrom, factory: Factory) -> datetime | dict[str, datetime] | None:
    """The moment for all triggers, or moments by the lower-case names of triggers.

    :param given: a time without an offset is UTC's, and a date is its midnight in UTC.
    :raises SpecError: it is no moment, or the export has no such trigger.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        return _moment("start_from", given)
    known = {one.name.casefold(): one.name for one in factory.triggers}
    found = {}
    for name, value in given.items():
        if name.casefold() not in known:
            close = get_close_matches(name.casefold(), known, n=1)
            names = (
                f"did you mean {known[close[0]]!r}?" if close else f"the export has {', '.join(sorted(known.values())) or 'none'}"
            )
            raise SpecError(f"start_from: got the trigger {name!r}, which the export does not have: {names}")
        found[name.casefold()] = _moment(f"start_from[{name!r}]", value)
    return found


def _moment(where: str, value: Moment) -> datetime:
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise SpecError(f"{where}: {_EXPECTED}, got {value!r}")


def begun(starts: Iterable[Start], since: datetime | Mapping[str, datetime] | None) -> list[Start]:
    """The triggers, each with the moment from which on it counts here."""
    return [_begun(one, since.get(one.trigger.casefold()) if isinstance(since, Mapping) else since) for one in starts]


def _begun(start: Start, since: datetime | None) -> Start:
    if since is None or not isinstance(start.timing, Windows | Recurrence):
        return start
    return replace(start, timing=replace(start.timing, since=since))


def due(start: Start, now: datetime) -> int:
    """How many windows of a trigger have ended, and would be handled if all that were missed are made up for."""
    return start.timing.due(now) if isinstance(start.timing, Windows) else 0
