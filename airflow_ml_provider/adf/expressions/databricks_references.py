"""Databricks' references, such as ``{{job.parameters.day}}``, in the parameters of a job and its tasks. They are replaced, never evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from airflow_ml_provider.adf.expressions.properties import DEEPEST, texts
from airflow_ml_provider.adf.model import Json
from airflow_ml_provider.core.errors import SpecError

_REFERENCE = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_PART = re.compile(r"`([^`]*)`|\[([^\]]*)\]|([^.`\[\]]+)")
_SPACES = ("job", "task", "tasks", "workspace", "input", "backfill")
_TIMES: dict[str, Callable[[datetime], str]] = {
    "iso_date": lambda at: at.strftime("%Y-%m-%d"),
    "iso_datetime": lambda at: at.strftime("%Y-%m-%dT%H:%M:%S"),
    "timestamp_ms": lambda at: str(int(at.timestamp() * 1000)),
    "iso_weekday": lambda at: str(at.isoweekday()),
    "is_weekday": lambda at: str(at.isoweekday() < 6).lower(),
    "year": lambda at: str(at.year),
    "month": lambda at: str(at.month),
    "day": lambda at: str(at.day),
    "hour": lambda at: str(at.hour),
    "minute": lambda at: str(at.minute),
    "second": lambda at: str(at.second),
}
_TAKES = "job.id, job.name, job.run_id, job.parameters.<name>, job.start_time.<format>, task.name, tasks.<task>.values.<key>, in a For each input, input.<key>"


def check(tree: Json, where: str, parameters: Collection[str], tasks: Collection[str], *, item: bool = False) -> None:
    """Raise :class:`SpecError` for a reference that means nothing here.

    :param item: it stands inside a For each.
    """
    for text in texts(tree):
        for parts in map(_parts, _REFERENCE.findall(text)):
            if parts[0] in _SPACES and not _is_known(parts, parameters, tasks) and not (item and parts[0] == "input"):
                raise SpecError(f"{where}: got the reference {'.'.join(parts)!r}: takes {_TAKES}")


def filled(tree: Json, known: Callable[[list[str]], str | None]) -> Json:
    """The tree with its references replaced; what is none of Databricks' stays as it is written."""
    return _filled(tree, known, 0)


def _filled(tree: Json, known: Callable[[list[str]], str | None], depth: int) -> Json:
    if depth > DEEPEST:
        raise SpecError(f"a value deeper than {DEEPEST}")
    if isinstance(tree, str):
        return _REFERENCE.sub(lambda match: _one(match, known), tree)
    if isinstance(tree, Mapping):
        return {name: _filled(inner, known, depth + 1) for name, inner in tree.items()}
    return [_filled(inner, known, depth + 1) for inner in tree] if isinstance(tree, list) else tree


def time_of(at: str, form: str) -> str | None:
    """A job's start, an ISO time, in one of Databricks' formats; None for another format."""
    made = _TIMES.get(form)
    return made(datetime.fromisoformat(at).astimezone(UTC)) if made else None


def _one(match: re.Match[str], known: Callable[[list[str]], str | None]) -> str:
    parts = _parts(match[1])
    found = known(parts) if parts[0] in _SPACES else match[0]
    if found is None:
        raise SpecError(f"got the reference {match[0]!r}, which has no value: takes {_TAKES}")
    return found


def _parts(text: str) -> list[str]:
    return ["".join(found) for found in _PART.findall(text)] or [text]


def _is_known(parts: list[str], parameters: Collection[str], tasks: Collection[str]) -> bool:
    match parts:
        case ["job", "id" | "name" | "run_id"] | ["task", "name"]:
            return True
        case ["job", "start_time", form]:
            return form in _TIMES
        case ["job", "parameters", name]:
            return name in parameters
        case ["tasks", key, "values", _]:
            return key in tasks
    return False
