"""Types for the columns of a table that a Copy creates: wide enough for a batch of values, and checked on those that follow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

from airflow_ml_provider.adf.airflow.data.json_values import plain
from airflow_ml_provider.adf.airflow.data.row_columns import Row, Table
from airflow_ml_provider.core.errors import SpecError


class Kind(IntEnum):
    """What values are. A number's kind holds those of the kinds before it, and TEXT holds every value."""

    NOTHING = 0
    BOOLEAN = 1
    INTEGER = 2
    DECIMAL = 3
    FLOAT = 4
    DATE = 5
    TIME = 6
    TIME_WITH_ZONE = 7
    BINARY = 8
    TEXT = 9


_KINDS: tuple[tuple[type, Kind], ...] = (
    (bool, Kind.BOOLEAN),
    (float, Kind.FLOAT),
    (date, Kind.DATE),
    (bytes, Kind.BINARY),
)
_NUMBERS = (Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT)
_DIGITS, _SCALE = 38, 18


def kind_of(value: Any) -> Kind:
    """The narrowest kind that holds a value."""
    if value is None:
        return Kind.NOTHING
    if isinstance(value, datetime):
        return Kind.TIME_WITH_ZONE if value.tzinfo else Kind.TIME
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return Kind.INTEGER
        return Kind.DECIMAL if _is_held(Decimal(value)) else Kind.TEXT
    return next((kind for type_, kind in _KINDS if isinstance(value, type_)), Kind.TEXT)


def _is_held(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -_SCALE and value.adjusted() < _DIGITS - _SCALE


def wider(one: Kind, other: Kind) -> Kind:
    """The narrowest kind that holds both."""
    if one is other or Kind.NOTHING in (one, other):
        return max(one, other)
    return max(one, other) if one in _NUMBERS and other in _NUMBERS else Kind.TEXT


def kinds_of(table: Table) -> dict[str, Kind]:
    """The kind of each column over the table's first rows; text where they hold nothing."""
    found = dict.fromkeys(table.names, Kind.NOTHING)
    for row in table.sample:
        for name, value in row.items():
            found[name] = wider(found[name], kind_of(value))
    return {name: kind or Kind.TEXT for name, kind in found.items()}


def fitting(rows: Iterable[Row], kinds: dict[str, Kind]) -> Iterator[Row]:
    """The rows, values of columns of text as texts; :class:`SpecError` for a value that its column does not hold."""
    for number, row in enumerate(rows, 1):
        for name, value in row.items():
            if wider(kinds[name], kind_of(value)) is not kinds[name]:
                fix = "create the table before the Copy, with a wider type"
                raise SpecError(f"row {number}: column {name!r} was created as {kinds[name].name}, got {value!r}: {fix}")
        yield {name: _text(value) if kinds[name] is Kind.TEXT else value for name, value in row.items()}


def _text(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, default=plain) if isinstance(value, list | dict) else str(value)


def sql_type(hook: Any, kind: Kind) -> str:
    """The type of a column, in the words of the hook's database."""
    from sqlalchemy import types
    from sqlalchemy.dialects import mssql, registry
    from sqlalchemy.engine.default import DefaultDialect
    from sqlalchemy.exc import NoSuchModuleError

    try:
        dialect = registry.load(str(getattr(hook, "dialect_name", "default")))()
    except NoSuchModuleError:
        dialect = DefaultDialect()
    dialect.deprecate_large_types = True  # of SQL Server: NVARCHAR(max) for NTEXT
    made: dict[Kind, Any] = {
        Kind.BOOLEAN: types.Boolean(),
        Kind.INTEGER: types.BigInteger(),
        Kind.DECIMAL: types.Numeric(_DIGITS, _SCALE),
        Kind.FLOAT: types.Float(53),
        Kind.DATE: types.DATE(),
        Kind.TIME: types.DateTime().with_variant(mssql.DATETIME2(), "mssql"),  # type: ignore[no-untyped-call,unused-ignore]
        Kind.TIME_WITH_ZONE: types.DateTime(timezone=True),
        Kind.BINARY: types.LargeBinary(),
    }
    return str(made.get(kind, types.UnicodeText()).compile(dialect=dialect))
