"""Names that tell the pipelines and triggers of an export apart: ids of DAGs, names of assets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath

from airflow_ml_provider.adf.model import Key, Pipeline, PipelineName, Resource

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]+")
_KINDS = frozenset({"pipeline", "pipelines", "trigger", "triggers"})


def dag_ids(pipelines: Iterable[Pipeline | PipelineName], prefix: str = "") -> dict[Key, str]:
    """The id of each pipeline's DAG, by :attr:`Pipeline.key`.

    Pipelines of one name, from several factories in one folder, have the folder's name before theirs: ``dev__load``, ``prod__load``.
    """
    found: dict[Key, str] = {}
    taken: set[str] = set()
    for one, name in zip(pipelines := list(pipelines), distinct_names(pipelines), strict=True):
        found[one.key] = free_id(f"{prefix}{slug(name)}", taken)
    return found


def distinct_names(named: Iterable[Pipeline | PipelineName | Resource]) -> list[str]:
    """The names; of those that occur several times, with the folders or the file that they come from before them."""
    named = list(named)
    counts = Counter(one.name.casefold() for one in named)
    return [_with_place(one.name, one.source) if counts[one.name.casefold()] > 1 else one.name for one in named]


def slug(name: str) -> str:
    """A name with only characters that an id of Airflow may have."""
    return _NOT_IN_IDS.sub("_", name).strip("_")[:100] or "unnamed"


def free_id(wanted: str, taken: set[str]) -> str:
    """An id that is not among ``taken``, which it joins. Case does not tell ids apart."""
    number, found = 1, wanted
    while found.casefold() in taken:
        number += 1
        found = f"{wanted}_{number}"
    taken.add(found.casefold())
    return found


def _with_place(name: str, source: PurePath) -> str:
    parts = [part for part in source.with_suffix("").parts if part.casefold() not in _KINDS]
    if parts and parts[-1].casefold() == name.casefold():
        parts.pop()
    return "__".join([*parts, name])
