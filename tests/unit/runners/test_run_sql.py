"""What the SQL runner does around Spark."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from airflow_ml_provider.runners.run_sql import _plain, read, table


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_with_or_without_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.sql").write_text("SELECT 'é'", encoding=encoding)
    assert read(tmp_path / "a.sql") == "SELECT 'é'"


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 'é'", encoding="latin-1")
    with pytest.raises(SystemExit, match=r"a.sql: expected UTF-8, got .*0xe9.*: save the file as UTF-8"):
        read(tmp_path / "a.sql")


def test_values_that_json_has_not_come_as_text() -> None:
    given = [Decimal("1.10"), datetime.date(2013, 1, 1), float("nan"), b"\x01", {"a": (1, None)}]
    assert _plain(given) == ["1.10", "2013-01-01", "nan", "01", {"a": [1, None]}]


def test_the_table() -> None:
    assert [*table(["a", "long"], [[None, "x\ny"], [True, 1.5]])] == ["a     long", "----  ----", "NULL  x\\ny", "true  1.5"]
