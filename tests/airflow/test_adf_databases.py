"""Procedures, upserts and queries on real databases, through Airflow's own hooks: SQLite, and PostgreSQL where its provider is installed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.activities.lookup import hook_of
from tests.airflow.conftest import Run
from tests.airflow.test_adf_activities import activity, copied, dataset, lake
from tests.airflow.test_adf_control import check, expression
from tests.airflow.test_adf_semantics import after, good, pipeline
from tests.servers.postgres import postgres

__all__ = ["lake", "pipeline"]
DATABASE = {"linkedServiceName": {"referenceName": "the db"}}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("airflow.providers.postgres")
    with postgres() as folder:
        yield folder


@pytest.fixture
def database(server: str, lake: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hook of an empty database, behind the connection ``the_db``."""
    place = {"conn_type": "postgres", "host": server, "login": "postgres", "schema": "postgres"}
    monkeypatch.setenv("AIRFLOW_CONN_THE_DB", json.dumps(place))
    hook = hook_of("the_db")
    hook.run(["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"])
    return hook


def given(value: Any, kind: str) -> dict[str, Any]:
    return {"value": value, "type": kind}


def test_a_stored_procedure_is_called_with_its_arguments_by_name(pipeline: Callable[..., Run], database: Any) -> None:
    database.run(
        [
            "CREATE TABLE days (day text, flights int)",
            "CREATE PROCEDURE add_day(flights int, day text) LANGUAGE SQL AS 'INSERT INTO days VALUES (day, flights * 2)'",
        ]
    )
    odd = "mon'day; DROP TABLE days; --"
    arguments = {"day": given(odd, "String"), "flights": given(expression("@add(1, pipeline().parameters.n)"), "Int32")}
    asked = {"storedProcedureName": "add_day", "storedProcedureParameters": arguments}
    missing = activity("missing", "SqlServerStoredProcedure", storedProcedureName="no_such")
    no_arguments = activity("bare", "SqlServerStoredProcedure", after("call"), storedProcedureName="public.clear")
    database.run("CREATE PROCEDURE clear() LANGUAGE SQL AS 'DELETE FROM days WHERE flights < 0'")
    done = pipeline(
        "procedures",
        {**activity("call", "SqlServerStoredProcedure", **asked), **DATABASE},
        {**missing, **DATABASE},
        {
            **no_arguments,
            "type": "SqlPoolStoredProcedure",
            "sqlPool": {**DATABASE["linkedServiceName"], "type": "SqlPoolReference"},
        },
        good("caught", after("missing", "Failed")),
        parameters={"n": {"type": "Int", "defaultValue": 2}},
    )
    check(done)
    assert database.get_records("SELECT * FROM days") == [(odd, 6)]
    assert "no_such" in done.xcom("missing", "adf_record")["error"]["message"]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_copy_upserts_by_its_keys(
    pipeline: Callable[..., Run], tmp_path: Path, lake: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    if kind == "postgres":
        request.getfixturevalue("database")
    hook = hook_of("the_db")
    hook.run("CREATE TABLE carriers (code varchar(9), month int, name text, PRIMARY KEY (code, month))")
    hook.run("INSERT INTO carriers VALUES ('UA', 1, 'old'), ('UA', 2, 'stays')")
    (lake / "new.csv").write_text("code,month,name\nUA,1,new\nB6,1,JetBlue\n")
    folder = tmp_path / "dataset"
    text = dataset(folder, "text", "DelimitedText", "the lake", location={"fileName": "new.csv"}, firstRowAsHeader=True)
    table = dataset(folder, "table", "AzurePostgreSqlTable", "the db", table="carriers")
    upsert = {"type": "AzurePostgreSqlSink", "writeBehavior": "Upsert", "upsertSettings": {"keys": ["code", "month"]}}
    done = pipeline(
        "upserts",
        copied("upsert", text, table, sink=upsert),
        copied("again", text, table, after("upsert"), sink=upsert),
        copied("insert", text, table, after("again"), sink={"type": "AzurePostgreSqlSink"}),
        copied("without keys", text, table, sink={**upsert, "upsertSettings": {}}),
        good("caught", after("insert", "Failed"), after("without keys", "Failed")),
    )
    check(done)
    found = hook.get_records("SELECT code, month, name FROM carriers ORDER BY code, month")
    assert found == [("B6", 1, "JetBlue"), ("UA", 1, "new"), ("UA", 2, "stays")]
    again = done.xcom("again", "adf_record")["output"]
    assert (again["rowsRead"], again["rowsCopied"]) == (2, 2)
    assert "upsertSettings.keys" in done.xcom("without_keys", "adf_record")["error"]["message"]


def test_queries_and_tables_of_a_database(pipeline: Callable[..., Run], tmp_path: Path, database: Any) -> None:
    folder = tmp_path / "dataset"
    database.run(
        [
            "CREATE SCHEMA air",
            "CREATE TABLE air.days (day date, delay numeric(5, 2))",
            "INSERT INTO air.days VALUES ('2013-01-01', 2.5), ('2013-01-02', 7)",
        ]
    )
    table = dataset(folder, "days", "PostgreSqlV2Table", "the db", schema="air", table="days")
    made = dataset(folder, "made", "PostgreSqlV2Table", "the db", table="made")
    query = {"query": "SELECT max(delay) AS worst FROM air.days"}
    done = pipeline(
        "queries",
        activity("all", "Lookup", dataset=table, firstRowOnly=False),
        activity("worst", "Lookup", dataset=table, source=query),
        activity("facts", "GetMetadata", dataset=table, fieldList=["exists", "columnCount", "structure"]),
        copied("make", table, made, source=query, sink={"tableOption": "autoCreate"}),
    )
    check(done)
    outputs = {name: done.xcom(name, "adf_record")["output"] for name in ("all", "worst", "facts")}
    assert outputs["all"] == {"count": 2, "value": [{"day": "2013-01-01", "delay": 2.5}, {"day": "2013-01-02", "delay": 7}]}
    assert outputs["worst"] == {"firstRow": {"worst": 7}}
    assert (outputs["facts"]["exists"], outputs["facts"]["columnCount"]) == (True, 2)
    assert database.get_records("SELECT worst FROM made") == [(7,)]
