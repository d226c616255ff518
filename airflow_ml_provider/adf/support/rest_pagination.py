"""What a REST source asks for: its paths into JSON, and how it goes from page to page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from airflow_ml_provider.adf.model import Json
from airflow_ml_provider.core.errors import SpecError

NEXT = "AbsoluteUrl"
"""The rule that says where a page names the next one's address."""
_ALSO = "supportRFC5988"
_STEP = re.compile(r"\.?(?:\['([^']+)'\]|\[\"([^\"]+)\"\]|([A-Za-z_@][\w@]*))")


def steps(path: str) -> list[str]:
    """The names in a path such as ``$.a['b.c']``; :class:`SpecError` for one with anything else in it."""
    rest, found = path.strip().removeprefix("$"), []
    while rest:
        step = _STEP.match(rest)
        if not step:
            raise SpecError(f"path: got {path!r}: takes names, such as $.a['b']")
        found.append(next(filter(None, step.groups())))
        rest = rest[step.end() :]
    return found


def wrong_rules(rules: Mapping[str, Json]) -> Iterator[str]:
    """What of ``paginationRules`` is not honoured."""
    for name, value in rules.items():
        if name not in (NEXT, _ALSO):
            yield f"paginationRules: got {name!r}: takes {NEXT} with a path, or links by RFC 5988"
        elif name == NEXT and isinstance(value, str):
            try:
                steps(value)
            except SpecError as error:
                yield f"paginationRules: {error}"
