"""What a notebook's parameters may be, and what arrives for each value; and that no value becomes code."""

from __future__ import annotations

import ast
import datetime
import json
import math
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.lowering import lowered
from airflow_ml_provider.core.notebooks import notebook_code
from airflow_ml_provider.core.spec import JobSpec, Notebook, PythonFile, ScalaSource, SparkJar, Sql
from airflow_ml_provider.operators.programs import program_fields
from airflow_ml_provider.runners.notebook.arguments import in_r, text_of, with_widgets
from airflow_ml_provider.runners.notebook.cells import read
from airflow_ml_provider.runners.notebook.errors import Missing
from airflow_ml_provider.runners.notebook.session import with_parameters

VALUES: dict[str, Any] = {
    "none": None,
    "yes": True,
    "number": 1.5,
    "nan": math.nan,
    "most": math.inf,
    "least": -math.inf,
    "text": 'it\'s \\ "x"\n',
    "many": [1, None, math.nan, {"a b": [True]}],
    "fields": {"é": None, "n": -math.inf},
}


def jupyter(language: str = "python") -> str:
    cell = {"cell_type": "code", "source": "x", "metadata": {"tags": ["parameters"]}, "outputs": [], "execution_count": None}
    kernel = {"kernelspec": {"name": language, "language": language}}
    return json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 4})


def test_a_jupyter_notebook_gets_the_values_themselves() -> None:
    # The way that papermill's Python translator takes: None, True, float('nan'), lists and dictionaries.
    request = json.loads(json.dumps(VALUES))  # as the program of the job carries them
    names: dict[str, Any] = {}
    exec(with_parameters(read("n.ipynb", jupyter()), request)[1].source, names)
    assert repr({name: names[name] for name in VALUES}) == repr(VALUES)


def test_a_widget_gets_text_or_json() -> None:
    assert {name: text_of(value) for name, value in VALUES.items()} == {
        "none": "null",
        "yes": "true",
        "number": "1.5",
        "nan": "NaN",
        "most": "Infinity",
        "least": "-Infinity",
        "text": VALUES["text"],
        "many": '[1, null, NaN, {"a b": [true]}]',
        "fields": '{"é": null, "n": -Infinity}',
    }
    assert float(text_of(math.nan)) != float(text_of(math.nan)) and float(text_of(-math.inf)) == -math.inf


def test_an_r_notebook_gets_them_as_r_writes_them() -> None:
    assert in_r(VALUES["many"]) == 'list(1, NULL, NaN, list("a b" = list(TRUE)))'
    cell = with_parameters(read("n.ipynb", jupyter("r")), {"day": "2024", "most": math.inf})[1]
    assert cell.source == '`day` <- "2024"\n`most` <- Inf'
    with pytest.raises(SpecError, match="a Jupyter notebook in julia cannot take parameters: only python and r notebooks can"):
        notebook_code(Notebook(source=jupyter("julia"), parameters={"day": 1}))


@pytest.mark.parametrize("name", ["x=1;import os;y", "run-date", "a b", "", "1x", "class", "x\ny", "x#", "é-", "dict[0]"])
def test_a_name_that_is_not_an_identifier_is_refused(name: str) -> None:
    with pytest.raises(SpecError) as refused:
        Notebook(source="x", parameters={name: 1})
    assert f"Notebook.parameters: the name {name!r} is not an identifier" in str(refused.value)
    with pytest.raises(Missing, match="is not an identifier"):  # such as arguments of dbutils.notebook.run
        with_parameters(read("n.ipynb", jupyter()), {name: 1})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            datetime.date(2024, 1, 1),
            "Notebook.parameters: day: got datetime.date(2024, 1, 1) of type date: expected text, a number",
        ),
        ({"a": [1, {1, 2}]}, "day.a.1: got {1, 2} of type set"),
        ({1: "x"}, "day: the key 1 is not text"),
        (b"abc", "Notebook.parameters.day: got b'abc': expected text: decode the bytes first"),
        ([b"abc"], "Notebook.parameters.day.0: got b'abc'"),
    ],
)
def test_a_value_that_json_cannot_hold_is_refused(value: object, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        Notebook(source="x", parameters={"day": value})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda value: PythonFile(path="x.py", args=["a", value]),
        lambda value: SparkJar(jar="x.jar", main_class="X", args=["a", value]),
        lambda value: ScalaSource(source="x", args=["a", value]),
        lambda value: Sql(text="SELECT 1", parameters={"a": value}),
        lambda value: JobSpec(name="x", program=PythonFile(path="x.py"), env={"A": value}),
        lambda value: PythonFile(**program_fields("x.py", [value])),
        lambda value: PythonFile(**program_fields("x.py", value)),
    ],
)
@pytest.mark.parametrize("value", [b"abc", bytearray(b"abc")])
def test_bytes_are_refused_by_name(make: Any, value: object) -> None:
    with pytest.raises(
        SpecError,
        match=r"(args|parameters|env)[.:a-zA-Z01 ]*: got (bytearray\()?b'abc'\)?: (expected text|takes a list of texts)",
    ):
        make(value)


def test_lists_and_dictionaries_among_arguments_are_json() -> None:
    assert program_fields("x.py", [1, {"a": None}, [True]])["args"] == ["1", '{"a": null}', "[true]"]


# The rules of text literals are those of Spark: docs/sql-ref-literals.md (escapes, r'raw' text) and the property
# spark.sql.parser.escapedStringLiterals. tests/integration/test_notebooks.py has Spark read what is written here.
HOSTILE = "it's \\' OR 1=1 -- \\"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT ${day} $day $days ${days} getArgument('day')", "SELECT 7 7 $days ${days} '7'"),
        ("SELECT * FROM `${day}`, `a``$day`", "SELECT * FROM `7`, `a``7`"),
        ("SELECT '\\$day' -- ${day}\n/* $day */", "SELECT '\\$day' -- ${day}\n/* $day */"),
        ('SELECT getArgument("bad")', "SELECT 'it\\'s \\\\\\' OR 1=1 -- \\\\'"),
        ("SELECT '<${bad}>', \"$bad\"", "SELECT '<it\\'s \\\\\\' OR 1=1 -- \\\\>', \"it's \\\\' OR 1=1 -- \\\\\""),
        ("SELECT r'${day}', r'$path'", "SELECT r'7', r'a\\b'"),
        ("SELECT `${tick}`", "SELECT `a``b`"),
        (
            "SELECT /*+ REPARTITION(${day}) */ 1 /* a /* b */ ${bad} */ + $day",
            "SELECT /*+ REPARTITION(7) */ 1 /* a /* b */ ${bad} */ + 7",
        ),
        ("SELECT $$it's ${day}$$, $x$ $day $x$", "SELECT $$it's 7$$, $x$ 7 $x$"),
        ("SELECT 1 /* ${day}", "SELECT 1 /* ${day}"),
    ],
)
def test_values_of_widgets_in_sql_stay_in_their_quotes(statement: str, expected: str) -> None:
    assert with_widgets(statement, {"day": "7", "bad": HOSTILE, "tick": "a`b", "path": "a\\b"}) == expected


def test_values_of_widgets_where_a_backslash_is_a_character() -> None:
    plain = with_widgets("getArgument('day'), '${day}'", {"day": "7"}, backslash_escapes=False)
    assert plain == "'7', '7'"
    hostile = with_widgets("getArgument('bad')", {"bad": HOSTILE}, backslash_escapes=False)
    assert hostile == f"CAST(X'{HOSTILE.encode().hex()}' AS STRING)"
    with pytest.raises(ValueError, match="use :name instead"):
        with_widgets("'${bad}'", {"bad": HOSTILE}, backslash_escapes=False)
    for quoted in ("r'${bad}'", "$$${bad}$$"):
        with pytest.raises(ValueError, match="use :name instead"):
            with_widgets(quoted, {"bad": HOSTILE + "$$"})


def test_values_of_widgets_in_double_quotes_that_make_a_name() -> None:
    assert with_widgets('SELECT "${bad}"', {"bad": 'a"\\'}, double_quotes_name=True) == 'SELECT "a""\\"'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            "# Databricks notebook source\n# caf\xe9".encode("latin-1"),
            "byte 0xe9 in line 2 is not UTF-8, so its encoding may be Latin-1",
        ),
        ("# Databricks notebook source\n1".encode("utf-16"), "byte 0xff in line 1 is not UTF-8, so its encoding may be UTF-16"),
    ],
)
def test_a_file_in_another_encoding_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    for name in ("n.py", "q.sql", "s.scala"):
        (tmp_path / name).write_bytes(data)
    program: Any
    for field, program in {
        "Notebook.path": Notebook(path=str(tmp_path / "n.py")),
        "Sql.file": Sql(file=str(tmp_path / "q.sql")),
        "ScalaSource.file": ScalaSource(file=str(tmp_path / "s.scala")),
    }.items():
        with pytest.raises(SpecError) as refused:
            lowered(JobSpec(name="x", program=program), ())
        assert str(refused.value).startswith(f"{field}: got '{tmp_path}/")
        assert said in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_a_notebook(tmp_path: Path) -> None:
    (tmp_path / "n.py").write_bytes(b"\xef\xbb\xbf# Databricks notebook source\n1")
    assert ast.parse(notebook_code(Notebook(path=str(tmp_path / "n.py"))).source)
