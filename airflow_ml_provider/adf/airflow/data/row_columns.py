"""The columns of rows: the same ones, by name, in every row that is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from airflow_ml_provider.core.errors import SpecError

Row = dict[str, Any]
BATCH = 5000
"""Rows that decide which columns there are and of which types; no more are in memory at once."""


@dataclass(frozen=True)
class Table:
    """Rows whose columns are known.

    :param names: of the columns, in their order.
    :param sample: the first rows, at most :data:`BATCH`; ``rows`` begins with them.
    """

    names: list[str]
    sample: list[Row]
    rows: Iterator[Row]


def aligned(rows: Iterable[Row], known: Sequence[str] = ()) -> Table:
    """Rows with the same columns in the same order; a row without one of them has None there.

    :param known: columns that a translator or a schema names. Without them the columns are those of the first :data:`BATCH` rows, in the
        order in which they appear.
    :raises SpecError: while the rows are read: a later row has another column.
    """
    rest = iter(rows)
    sample = list(islice(rest, BATCH))
    names = list(dict.fromkeys(chain(known, *sample)))
    return Table(names, [_ordered(row, names) for row in sample], _aligned(chain(sample, rest), names))


def _aligned(rows: Iterable[Row], names: list[str]) -> Iterator[Row]:
    known = frozenset(names)
    for number, row in enumerate(rows, 1):
        if unknown := row.keys() - known:
            name = next(one for one in row if one in unknown)
            fix = f"the columns of the first {BATCH} rows are written: name every column in the translator"
            raise SpecError(f"row {number}: got a new column {name!r}: {fix}")
        yield _ordered(row, names)


def _ordered(row: Row, names: Iterable[str]) -> Row:
    return {name: row.get(name) for name in names}
