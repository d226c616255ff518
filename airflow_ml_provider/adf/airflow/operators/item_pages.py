"""Loops with more items than Airflow maps tasks over: the items in pages, each of which one task runs."""

from __future__ import annotations

from math import ceil
from typing import Any

from airflow_ml_provider.core.errors import SpecError

PAGE = "adf_page"
"""The XCom of the task that has run a page: ``{"status": …, "error": …}``."""
MOST = 100_000
"""Items of a ForEach, as Data Factory limits them."""


def mapped_over(items: list[Any], name: str) -> list[dict[str, Any]]:
    """What the tasks of a loop are mapped over: ``{"item": …}`` for each item, or ``{"page": [item, …]}`` for each page of them.

    :raises SpecError: there are more items than Data Factory takes.
    """
    if len(items) > MOST:
        raise SpecError(f"activity {name!r}: items: got {len(items)}: takes {MOST:,} at most")
    limit = longest_map()
    if len(items) <= limit:
        return [{"item": item} for item in items]
    size = ceil(len(items) / limit)
    return [{"page": items[start : start + size]} for start in range(0, len(items), size)]


def longest_map() -> int:
    """How many tasks Airflow maps one over."""
    from airflow.sdk.configuration import conf

    return max(int(conf.getint("core", "max_map_length", fallback=1024)), 1)
