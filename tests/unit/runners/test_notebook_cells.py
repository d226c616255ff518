"""What the reader makes of notebooks' files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.notebooks import notebook_code, revision_of
from airflow_ml_provider.core.spec import Notebook
from airflow_ml_provider.runners.notebook import sql
from airflow_ml_provider.runners.notebook.cells import UnreadableNotebook, calls, includes, read, run_target
from airflow_ml_provider.runners.notebook.lines import python_of
from airflow_ml_provider.runners.notebook.scala import parts
from airflow_ml_provider.runners.notebook.session import with_parameters
from airflow_ml_provider.runners.notebook.sql_statements import split

SOURCE = """\
# Databricks notebook source
# MAGIC %md # Flights
# COMMAND ----------
# DBTITLE 1,Load
# a comment first
# MAGIC %run ./_setup $catalog="main" $days=3
# COMMAND ----------

x = 1

# COMMAND ----------
# MAGIC %sql
# MAGIC SELECT 1 AS one
"""


def ipynb(cells: list[dict[str, Any]], **metadata: Any) -> str:
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 0})


def code(source: Any, **metadata: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": None}


def test_databricks_source() -> None:
    notebook = read("etl.py", SOURCE)
    assert notebook.databricks
    found = [(cell.language, cell.source.strip(), cell.title) for cell in notebook.cells]
    assert found == [
        ("md", "# Flights", ""),
        ("run", './_setup $catalog="main" $days=3', "Load"),
        ("python", "x = 1", ""),
        ("sql", "SELECT 1 AS one", ""),
    ]
    assert run_target(notebook.cells[1].source) == ("./_setup", {"catalog": "main", "days": "3"})
    assert includes(notebook) == ["./_setup"]


@pytest.mark.parametrize(("name", "mark"), [("q.sql", "--"), ("q.scala", "//"), ("q.r", "#")])
def test_the_twins_in_other_languages(name: str, mark: str) -> None:
    text = f"{mark} Databricks notebook source\nSELECT 1\n{mark} COMMAND ----------\n{mark} MAGIC %python\n{mark} MAGIC x = 1\n"
    assert [cell.source.strip() for cell in read(name, text).cells] == ["SELECT 1", "x = 1"]
    assert read(name, text).cells[1].language == "python"


def test_jupyter_and_what_databricks_exports() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# T\n", "text"], "metadata": {}},
        code(["a = 1\n", "a"], tags=["parameters"]),
        code("%%bash\necho hi"),
        code("%matplotlib inline\nimport math"),
    ]
    notebook = read("n.ipynb", ipynb(cells, kernelspec={"name": "python3", "language": "python"}))
    assert [cell.language for cell in notebook.cells] == ["md", "python", "sh", "python"]
    assert (notebook.databricks, notebook.kernel) == (False, "python3")
    exported = ipynb(
        [code("%sql\nSELECT 1")], **{"application/vnd.databricks.v1+notebook": {"language": "python", "widgets": {}}}
    )
    assert read("n.ipynb", exported).databricks
    assert read("n.ipynb", exported).cells[0].language == "sql"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("a.py", "print(1)", "first line"), ("a.ipynb", "{}", "format 4"), ("a.txt", "", "ends with"), ("a.ipynb", "[", "format 4")],
)
def test_what_is_no_notebook_is_refused(name: str, text: str, said: str) -> None:
    with pytest.raises(UnreadableNotebook, match=said):
        read(name, text)


def test_parameters_come_after_the_tagged_cell_or_first() -> None:
    tagged = read("n.ipynb", ipynb([code("import os"), code("day = 1", tags=["parameters"]), code("day")]))
    assert [cell.source for cell in with_parameters(tagged, {"day": 2})] == ["import os", "day = 1", "day = 2", "day"]
    plain = read("n.ipynb", ipynb([code("day")]))
    assert with_parameters(plain, {"day": "x"})[0].source == "day = 'x'"
    assert len(with_parameters(read("n.py", SOURCE), {"day": 1})) == 4


def test_statements_are_parted_where_sql_parts_them() -> None:
    text = "SELECT ';' AS a, :day -- no; \n; /* ; */ SELECT cast('1' AS int)::string, \"x;y\";"
    assert [names for _, names in split(text)] == [{"day"}, set()]
    assert sql.widget("CREATE WIDGET TEXT day DEFAULT '7'") == ("text", ("day", "7"))
    assert sql.widget("-- gone\nREMOVE WIDGET day") == ("remove", ("day",))


def test_lines_for_ipython_become_calls() -> None:
    assert python_of("x = 1\n  %pip install a\n!ls") == "x = 1\n  __line_magic__('%pip install a')\n__line_magic__('!ls')"
    assert python_of("%%time\nx = 1") == "x = 1"
    assert python_of("%pip install \\\n  a b\nx = 1") == "__line_magic__('%pip install    a b')\nx = 1"
    cell = read("q.sql", "-- Databricks notebook source\n-- MAGIC %pip install a\n-- MAGIC import a").cells[0]
    assert (cell.language, cell.source) == ("python", "%pip install a\nimport a")


def test_a_notebook_ships_with_those_that_it_runs(tmp_path: Path) -> None:
    head = "# Databricks notebook source\n"
    (tmp_path / "main.py").write_text(head + "# MAGIC %run ./lib/setup\n# COMMAND ----------\ndbutils.notebook.run('child', 60)")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "setup.py").write_text(head + "# MAGIC %run ../other")
    (tmp_path / "other.sql").write_text("-- Databricks notebook source\nSELECT 1")
    (tmp_path / "child.py").write_text(head + "1")
    notebook = Notebook(path=str(tmp_path / "main.py"), parameters={"day": 1})
    source = notebook_code(notebook).source
    compile(source, "program.py", "exec")
    for name in ("lib/setup", "other", "child"):
        assert f'"{name}": {{"name"' in source
    before = revision_of(notebook)
    (tmp_path / "child.py").write_text(head + "2")
    assert revision_of(notebook) != before
    (tmp_path / "other.sql").unlink()
    with pytest.raises(SpecError, match=r"it runs '../other', and there is no notebook"):
        notebook_code(notebook)


def test_calls_by_a_plain_string_are_found() -> None:
    text = "# Databricks notebook source\ndbutils.notebook.run(path='./a', timeout_seconds=1); dbutils.notebook.run(\"b\", 0); run(name)"
    assert calls(read("n.py", text)) == ["./a", "b"]


def test_wrong_fields_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="Notebook.secrets"):
        Notebook(source=SOURCE, secrets={"a/b": "plain text"})
    (tmp_path / "n.scala").write_text("val x = 1")
    with pytest.raises(SpecError, match="'// Databricks notebook source' as its first line, or run it as a program"):
        notebook_code(Notebook(path=str(tmp_path / "n.scala")))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("val a = 1\nval b = 2", ["val a = 1\nval b = 2"]),
        ("val a = (1)\ncase class P(x: Int)\nobject P\nP(a)", ["val a = (1)", "\ncase class P(x: Int)\nobject P", "\nP(a)"]),
        ("case class P(x: Int); P(1)", ["case class P(x: Int)", "; P(1)"]),
        ("", [""]),
    ],
)
def test_scala_is_cut_where_classes_begin_and_end(source: str, expected: list[str]) -> None:
    statements = [
        (match[0].startswith(("case", "object")), match.start(), match.end()) for match in re.finditer(r"[^\n;\s][^\n;]*", source)
    ]
    assert parts(source, statements) == expected
