"""Rows of a Copy: each value stands under its own column, and no value is cut or dropped without an error."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed
from airflow_ml_provider.adf.airflow.activities.lookup import hook_of
from airflow_ml_provider.adf.airflow.data.column_types import Kind, kinds_of, sql_type
from airflow_ml_provider.adf.airflow.data.dataset_places import Store
from airflow_ml_provider.adf.airflow.data.row_columns import BATCH, aligned
from airflow_ml_provider.adf.airflow.data.row_files import of_files, to_file
from airflow_ml_provider.adf.airflow.data.sql_identifiers import field, parts_of, quoted
from airflow_ml_provider.adf.airflow.data.table_writer import load
from airflow_ml_provider.adf.support.datasets import schema_columns
from airflow_ml_provider.core.errors import SpecError
from tests.airflow.conftest import Run
from tests.airflow.test_adf_activities import activity, copied, dataset, lake
from tests.airflow.test_adf_control import check
from tests.airflow.test_adf_semantics import after, good, pipeline

__all__ = ["lake", "pipeline"]
PEOPLE = [{"id": 1, "name": "ann", "city": "Oslo"}, {"id": 2, "city": "Rome"}, {"name": "cy", "id": 3, "city": "Bern"}]


def _file(kind: str, name: str, **more: Any) -> Store:
    return Store("out", kind, "the_lake", {"location": {"fileName": name}, **more})


def _table(*parts: str) -> Store:
    return Store("tab", "azuresqltable", "the_db", dict(zip(("schema", "table")[-len(parts) :], parts, strict=True)))


@pytest.mark.parametrize("kind", ["delimitedtext", "json", "parquet"])
def test_values_stand_under_their_columns(kind: str, lake: Path) -> None:
    """Copy activity "maps source data to sink by column names" ("Schema and data type mapping in copy activity")."""
    place = _file(kind, "people", firstRowAsHeader=True)
    assert to_file(place, "the_lake/people", iter(PEOPLE), {}) == 3
    found = [dict(row) for row in of_files(place, ["the_lake/people"], {})]
    text = str if kind == "delimitedtext" else lambda value: value
    assert found == [{name: text(row[name]) if name in row else None for name in ("id", "name", "city")} for row in PEOPLE]


def test_a_column_that_comes_late_is_no_silence(lake: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from ({"id": number} for number in range(BATCH))
        yield {"id": BATCH, "late": "x"}

    for kind in ("delimitedtext", "json", "parquet"):
        with pytest.raises(SpecError, match=rf"row {BATCH + 1}: got a new column 'late': .* name every column in the translator"):
            to_file(_file(kind, "late"), "the_lake/late", rows(), {})
        assert not (lake / "late").exists()
        assert to_file(_file(kind, "named"), "the_lake/named", rows(), {}, ["id", "late"]) == BATCH + 1


def test_the_schema_of_a_dataset_names_columns() -> None:
    """The three forms of ``schema`` and ``structure`` ("Datasets in Azure Data Factory", "JSON format")."""
    names = {"properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}
    forms: list[dict[str, Any]] = [
        {"schema": [{"name": "a", "type": "int"}, {"name": "b"}]},
        {"structure": [{"name": "a"}, {"name": "b"}]},
        {"schema": {"type": "object", **names}},
        {"schema": {"type": "array", "items": {"type": "object", **names}}},
    ]
    assert [schema_columns(one) for one in (*forms, {"schema": []}, {})] == [*[("a", "b")] * 4, (), ()]


def test_a_line_with_more_values_than_columns_fails(lake: Path) -> None:
    """``DelimitedTextMoreColumnsThanDefined`` ("Troubleshoot the delimited text format connector")."""
    (lake / "odd.csv").write_text("a,b\n1,2\n3\n4,5,6\n")
    rows = of_files(_file("delimitedtext", "odd.csv", firstRowAsHeader=True), ["the_lake/odd.csv"], {})
    assert [next(rows), next(rows)] == [{"a": "1", "b": "2"}, {"a": "3", "b": None}]
    with pytest.raises(ActivityFailed, match="line 4 has 3 values for 2 columns") as raised:
        next(rows)
    assert raised.value.code == "DelimitedTextMoreColumnsThanDefined"


def test_a_table_is_created_with_types_that_hold_every_value(lake: Path) -> None:
    """``autoCreate`` makes "the sink table based on the source schema" ("Copy and transform data in Azure SQL Database")."""
    rows: list[dict[str, Any]] = [
        {"n": 1, "when": date(2024, 1, 1), "Mixed": None, "is on": True, "order": 2**70},
        {"n": 1.5, "when": date(2024, 1, 2), "Mixed": "x", "is on": None, "order": Decimal("0.5"), "deep": [1]},
    ]
    made = kinds_of(aligned(rows))
    assert made == {
        "n": Kind.FLOAT,
        "when": Kind.DATE,
        "Mixed": Kind.TEXT,
        "is on": Kind.BOOLEAN,
        "order": Kind.TEXT,
        "deep": Kind.TEXT,
    }
    hook = hook_of("the_db")
    assert load(hook, _table("main", "Order Details"), rows, {"tableOption": "autoCreate"}) == 2
    assert hook.get_records('SELECT n, "Mixed", "order", "deep" FROM "Order Details"') == [
        (1.0, None, str(2**70), None),
        (1.5, "x", "0.5", "[1]"),
    ]

    def late() -> Iterator[dict[str, Any]]:
        yield from ({"n": number} for number in range(BATCH))
        yield {"n": 1.5}

    with pytest.raises(SpecError, match=rf"row {BATCH + 1}: column 'n' was created as INTEGER, got 1.5"):
        load(hook, _table("late"), late(), {"tableOption": "autoCreate"})
    assert hook.get_records("SELECT count(*) FROM late") == [(0,)]


def test_types_of_columns_are_the_databases_own() -> None:
    def types(name: str) -> list[str]:
        hook = SimpleNamespace(dialect_name=name)
        return [sql_type(hook, kind) for kind in (Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT, Kind.TIME, Kind.TEXT, Kind.BINARY)]

    assert types("mssql") == ["BIT", "BIGINT", "FLOAT(53)", "DATETIME2", "NVARCHAR(max)", "VARBINARY(max)"]
    assert types("postgresql") == ["BOOLEAN", "BIGINT", "FLOAT(53)", "TIMESTAMP WITHOUT TIME ZONE", "TEXT", "BYTEA"]
    assert types("no such database")[1:3] == ["BIGINT", "FLOAT"]
    zoned = {"at": datetime(2024, 1, 1, tzinfo=UTC)}
    assert kinds_of(aligned([zoned, {"at": datetime(2024, 1, 1)}]))["at"] is Kind.TEXT  # noqa: DTZ001  one without a zone


def test_names_are_quoted_as_the_database_takes_them() -> None:
    assert [parts_of(one) for one in ("dbo.Orders", "[dbo].[Order ]] Details]", '"a""b"."c.d"', "Order Details")] == [
        ["dbo", "Orders"],
        ["dbo", "Order ] Details"],
        ['a"b', "c.d"],
        ["Order Details"],
    ]
    for wrong in ("", "[a", "[a]b", "a..b"):
        with pytest.raises(SpecError, match="takes a name such as"):
            parts_of(wrong)
    of_sql_server, ansi = SimpleNamespace(escape_word_format="[{}]"), SimpleNamespace()
    assert quoted(of_sql_server, ["dbo", "a]; DROP TABLE b--"]) == "[dbo].[a]]; DROP TABLE b--]"
    assert (quoted(ansi, ['a"b']), field(ansi, "Name"), field(of_sql_server, "Name")) == ('"a""b"', '"Name"', "Name")


def test_table_names_are_names_and_never_sql(pipeline: Callable[..., Run], tmp_path: Path, lake: Path) -> None:
    """``tableName``, ``schema`` and ``table`` are names ("Copy and transform data in Azure SQL Database", dataset properties)."""
    hook = hook_of("the_db")
    for name in ("Order Details", "order", "2024-sales"):
        hook.run(f'CREATE TABLE "{name}" (m int)')
        hook.run(f'INSERT INTO "{name}" VALUES (1)')
    folder = tmp_path / "dataset"
    table = {"type": "Expression", "value": "@dataset().day"}
    any_table = dataset(folder, "any", "AzureSqlTable", "the db", table=table)
    old = dataset(folder, "old", "AzureSqlTable", "the db", tableName="[main].[2024-sales]")
    named = [
        {**any_table, "parameters": {"day": name}} for name in ("Order Details", "order", "(SELECT 1)", 'x" UNION SELECT 1 --')
    ]
    looks = [activity(f"look {number}", "Lookup", dataset=one) for number, one in enumerate([*named, old])]
    facts = activity("facts", "GetMetadata", dataset=named[0], fieldList=["columnCount"])
    (lake / "in.json").write_text(json.dumps(PEOPLE[0]) + "\n" + json.dumps(PEOPLE[1]))
    source = dataset(folder, "in", "Json", "the lake", location={"fileName": "in.json"})
    target = dataset(folder, "out", "DelimitedText", "the lake", location={"fileName": "out.csv"}, firstRowAsHeader=True)
    created = dataset(folder, "created", "AzureSqlTable", "the db", table="Our People")
    done = pipeline(
        "names",
        *looks,
        facts,
        copied("create", source, created, sink={"tableOption": "autoCreate"}),
        copied("write", created, target, after("create")),
        good("caught", after("look 2", "Failed"), after("look 3", "Failed")),
    )
    check(done)
    found = {one["name"].replace(" ", "_"): done.xcom(one["name"].replace(" ", "_"), "adf_record") for one in [*looks, facts]}
    assert [found[f"look_{number}"].get("output") for number in (0, 1, 4)] == [{"firstRow": {"m": 1}}] * 3
    assert "no such table" in found["look_2"]["error"]["message"]
    assert found["facts"]["output"] == {"columnCount": 1}
    with (lake / "out.csv").open(newline="") as stream:
        assert list(csv.DictReader(stream)) == [
            {"id": "1", "name": "ann", "city": "Oslo"},
            {"id": "2", "name": "", "city": "Rome"},
        ]
