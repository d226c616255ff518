"""How a text of SQL is taken apart, and a result put together."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from airflow_ml_provider.runners.run_sql import _plain, statements, table


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" ; ;\n", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';' ; SELECT \";\"", ["SELECT ';'", 'SELECT ";"']),
        ("SELECT 'it''s; x'", ["SELECT 'it''s; x'"]),
        (r"SELECT 'a\'; b'; SELECT 2", [r"SELECT 'a\'; b'", "SELECT 2"]),
        (r"SELECT r'a\'; SELECT 2", [r"SELECT r'a\'", "SELECT 2"]),
        ("SELECT `a;``b` FROM t; SELECT 2", ["SELECT `a;``b` FROM t", "SELECT 2"]),
        ("-- one; 'two\nSELECT 1", ["SELECT 1"]),
        ("SELECT 1 -- tail; \n + 1; SELECT 2", ["SELECT 1 \n + 1", "SELECT 2"]),
        ("/* a; /* b; */ 'c */ SELECT 1", ["SELECT 1"]),
        ("SELECT '/* no */', '-- no'", ["SELECT '/* no */', '-- no'"]),
        ("SELECT /*+ BROADCAST(t) */ 1", ["SELECT /*+ BROADCAST(t) */ 1"]),
        ("SELECT 1; BEGIN SELECT 2; SELECT 3; END;", ["SELECT 1", "BEGIN SELECT 2; SELECT 3; END"]),
        ("/* never closed", []),
    ],
)
def test_statements(text: str, found: list[str]) -> None:
    assert statements(text) == found


def test_values_that_json_has_not_come_as_text() -> None:
    given = [Decimal("1.10"), datetime.date(2013, 1, 1), float("nan"), b"\x01", {"a": (1, None)}]
    assert _plain(given) == ["1.10", "2013-01-01", "nan", "01", {"a": [1, None]}]


def test_the_table() -> None:
    assert [*table(["a", "long"], [[None, "x\ny"], [True, 1.5]])] == ["a     long", "----  ----", "NULL  x\\ny", "true  1.5"]
