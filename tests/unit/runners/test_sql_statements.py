"""How a text of SQL is split. ``tests/integration/test_sql_scripts.py`` asks Spark's own parser about the same texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from airflow_ml_provider.runners.notebook.sql_statements import split
from tests.unit.runners.sql_generated import texts
from tests.unit.runners.sql_texts import SCRIPTS, TEXTS, UNFINISHED


@pytest.mark.parametrize(("text", "found"), TEXTS)
def test_statements(text: str, found: list[str]) -> None:
    assert [statement.text for statement in split(text)] == found


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_one_statement_wherever_it_stands(script: str) -> None:
    text = f"\ufeff-- first\nSELECT 1;\n{script};\n-- BEGIN\nSELECT CASE WHEN true THEN 2 END;;{script}\n;SELECT 3"
    found = [statement.text for statement in split(text)]
    assert found == ["SELECT 1", script, "SELECT CASE WHEN true THEN 2 END", script, "SELECT 3"]


@pytest.mark.parametrize("text", UNFINISHED)
def test_what_does_not_end_is_handed_to_spark_whole(text: str) -> None:
    assert [statement.text for statement in split(f"SELECT 1; {text}; SELECT 2")][1:] == [f"{text}; SELECT 2"]


def test_parameters_are_found_where_they_stand() -> None:
    text = (
        "SELECT :day, a:b, c::int, ':no', `t`:x -- :no\n, /* :no */ array(1)[:at] FROM t WHERE x=:end; BEGIN l: SELECT :one; END"
    )
    assert [set(statement.names) for statement in split(text)] == [{"day", "at", "end"}, {"one"}]


@settings(max_examples=200, deadline=None)
@given(texts())
def test_mixtures_are_taken_apart_again(mixture: tuple[str, list[str]]) -> None:
    text, statements = mixture
    assert [statement.text for statement in split(text)] == statements
