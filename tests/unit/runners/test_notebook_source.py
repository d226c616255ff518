"""Databricks' source format in its variants, magics among other lines, and characters that Unicode takes for the end of a line."""

from __future__ import annotations

import pytest

from airflow_ml_provider.runners.notebook.cells import UnreadableNotebook, includes, read, run_target
from airflow_ml_provider.runners.notebook.lines import expanded, pieces, python_of, runs
from tests.unit.runners.test_notebook_cells import code, ipynb

MARKS = {"n.py": "#", "n.r": "#", "n.sql": "--", "n.scala": "//"}
ODD = "a\u2028b\u2029c\x0cd\x85e\x0bf\x1cg\x1dh\x1ei\tj"


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.parametrize("blank", ["", " ", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_marks_of_every_language(name: str, blank: str, end: str, bom: str) -> None:
    mark = MARKS[name] + blank
    lines = [f"{mark}Databricks notebook source", "first", f"{mark}COMMAND ----------", f"{mark}DBTITLE 1,Named"]
    lines += [f"{mark}MAGIC %sh", f"{mark}MAGIC", f"{mark}MAGIC if x; then", f"{mark}MAGIC   echo \ty", f"{mark}MAGIC fi", ""]
    cells = read(name, bom + end.join(lines)).cells
    assert [(cell.title, cell.original) for cell in cells] == [("", "first"), ("Named", "%sh\n\nif x; then\n  echo \ty\nfi")]
    assert (cells[1].language, cells[1].source) == ("sh", "\n\nif x; then\n  echo \ty\nfi")


@pytest.mark.parametrize("name", MARKS)
def test_only_a_line_feed_ends_a_line(name: str) -> None:
    mark = MARKS[name]
    magic = {"n.py": "r", "n.r": "python"}.get(name, "python")
    text = f"{mark} Databricks notebook source\nx = '{ODD}'\n{mark} COMMAND ----------\n{mark} MAGIC %{magic}\n{mark} MAGIC y = '{ODD}'"
    assert [cell.source for cell in read(name, text).cells] == [f"x = '{ODD}'", f"\ny = '{ODD}'"]


def test_words_that_only_begin_like_a_mark_are_comments() -> None:
    text = "# Databricks notebook source\n# MAGICAL numbers\n# MAGIC-free\n# COMMANDER\nx = 1"
    assert read("n.py", text).cells[0].source == "# MAGICAL numbers\n# MAGIC-free\n# COMMANDER\nx = 1"


@pytest.mark.parametrize("databricks", [True, False])
@pytest.mark.parametrize(
    ("cell", "language"),
    [
        ("%run ./a", "run"),
        ("# why\n%run ./a  # setup", "run"),
        ("%run ./a\n# that was it\n", "run"),
        ("%run ./a\nx = 1", "python"),
        ("%run ./a\n%run ./b", "python"),
        ("x = 1\n%run ./a\n'''\n%run ./no\n'''", "python"),
        ("%pip install a\n%run ./a", "python"),
    ],
)
def test_run_stands_alone_or_among_python(databricks: bool, cell: str, language: str) -> None:
    magic = "".join(f"# MAGIC {line}\n" for line in cell.split("\n"))
    notebook = read("n.py", f"# Databricks notebook source\n{magic}") if databricks else read("n.ipynb", ipynb([code(cell)]))
    assert [cell.language for cell in notebook.cells] == [language]
    assert includes(notebook) == ["./a", "./b"] if "./b" in cell else ["./a"]


@pytest.mark.parametrize(
    ("name", "cell", "said"),
    [
        ("n.sql", "%run ./a\nSELECT 1", "n.sql: %run ./a: .* alone in the cell, got also 'SELECT 1'"),
        ("n.scala", "%run ./a\n%run ./b", "n.scala: %run ./a: .* got also '%run ./b'"),
        ("n.py", "%run ./a x=1", "n.py: %run ./a: expected a path and .*, got also 'x=1'"),
        ("n.py", '%run ./a $x="1" more', "got also 'more'"),
    ],
)
def test_what_would_not_run_is_refused(name: str, cell: str, said: str) -> None:
    mark = MARKS[name]
    magic = "".join(f"{mark} MAGIC {line}\n" for line in cell.split("\n"))
    with pytest.raises(UnreadableNotebook, match=said):
        read(name, f"{mark} Databricks notebook source\n{magic}")


def test_arguments_of_run() -> None:
    assert run_target('"./My Notebook" $x="a b" $y=\'c\' $z=3 # why') == ("./My Notebook", {"x": "a b", "y": "c", "z": "3"})


@pytest.mark.parametrize(
    ("cell", "language"),
    [
        ("%%capture out\nprint(1)", "python"),
        ("%%writefile a.py\nx", "python"),
        ("%ls", "python"),
        ('%%bash -s "$x"\necho $1', "python"),
        ("%%bash\necho 1", "sh"),
        ("%sh -e\nfalse", "sh"),
        ("%%sql\nSELECT 1", "sql"),
        ("%%pyspark\nx = 1", "python"),
        ("%%spark\nval x = 1", "scala"),
        ("%run helpers.py 1", "python"),
        ("%run -i helpers.py", "python"),
        ("%run Setup", "run"),
    ],
)
def test_magics_of_jupyter_fabric_and_synapse(cell: str, language: str) -> None:
    notebook = read("n.ipynb", ipynb([code(cell)]))
    assert [cell.language for cell in notebook.cells] == [language]
    assert includes(notebook) == (["Setup"] if "Setup" in cell else [])


def test_lines_for_ipython_are_not_looked_for_in_texts_and_brackets() -> None:
    text = "t = '''\n%no\n'''\ns = \"\"\" \\\"\"\"\n!no\n\"\"\"\nx = (1\n% 2)\ny = 1 \\\n% 2\nz = '# ' \"'\" # '''\n"
    assert python_of(text) == text
    assert python_of(f"{text}!yes") == f"{text}__line_magic__('!yes')"
    assert list(runs(f"{text}%run ./a $x='1'\n  %run b")) == ["./a $x='1'", "b"]


def test_pieces_add_up_to_the_cell() -> None:
    text = f"x = '{ODD}'\n%a \\\n b\n\ny = !ls\nf(\n!no\n)\nobj?\nd = {{1: '''\n%'''}}"
    assert "".join(piece.text for piece in pieces(text)) == text
    assert [piece.command for piece in pieces(text) if piece.command] == ["%a   b", "y = !ls", "obj?"]


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("rm -rf $d/* $HOME", "rm -rf /data/x/* $HOME"),
        ("cp $d.csv {d}.csv", "cp /data/x.csv /data/x.csv"),
        ("echo {n + 1} {n:03} {n!r} $o.real", "echo 8 007 7 7"),
        ("awk '{print $1}' $d", "awk '{print $1}' /data/x"),
        ("echo '$d' \"$d\" \"'$d'\"", "echo '$d' \"/data/x\" \"'$d'\""),
        ("find . -exec rm {} \\;", "find . -exec rm {} \\;"),
        ("echo {{d}} $$d {d}", "echo {d} $d /data/x"),
        ("echo {{d}} $$d $nothing", "echo {{d}} $$d $nothing"),
        ("echo {1/0} {nothing} {d", "echo {1/0} {nothing} {d"),
        ("echo {e}.", "echo ."),
    ],
)
def test_names_in_commands(command: str, found: str) -> None:
    assert expanded(command, {"d": "/data/x", "n": 7, "o": 7, "e": ""}) == found
