"""Python cells, with IPython as users of Jupyter know it, and without it. Expectations: IPython's documentation of its magics."""

from __future__ import annotations

import io
import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from airflow_ml_provider.runners.notebook import python
from airflow_ml_provider.runners.notebook.dbutils import Shared
from airflow_ml_provider.runners.notebook.errors import CellFailed
from airflow_ml_provider.runners.notebook.outputs import Recorder, captured
from airflow_ml_provider.runners.notebook.redaction import Redactor
from airflow_ml_provider.runners.notebook.session import Library, Session

HEAD = "# Databricks notebook source\n"


class Spark:
    """What a session asks of Spark as it begins."""

    class _Table:
        pass

    table = None
    conf = types.SimpleNamespace(getAll={})
    sparkContext = "context"

    def sql(self, text: str) -> str:
        return f"result of {text}"

    def range(self, _: int) -> Any:
        return self._Table()


class Ran:
    """A notebook that has run."""

    def __init__(self, cells: list[str], others: dict[str, str], databricks: bool) -> None:
        files = {"main": {"name": "main.ipynb", "text": jupyter(*cells)}}
        if databricks:
            files = {"main": {"name": "main.py", "text": HEAD + "\n# COMMAND ----------\n".join(cells)}}
        files |= {name: {"name": f"{name}.py", "text": HEAD + text} for name, text in others.items()}
        self.log = io.StringIO()
        recorder = Recorder(Redactor([]), self.log)
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.session = Session(Shared(Spark()), Library(files), recorder, "main", {}, self.names)
        with captured(recorder):
            self.left = self.session.run()

    @property
    def outputs(self) -> list[dict[str, Any]]:
        return [output for ran in self.session.ran for output in ran.outputs]

    @property
    def said(self) -> str:
        return self.log.getvalue()


Run = Callable[..., Ran]


def jupyter(*cells: str) -> str:
    made = [{"cell_type": "code", "source": cell, "metadata": {}} for cell in cells]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture(params=["with IPython", "without IPython"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    yield from runner(monkeypatch, tmp_path, has_ipython=request.param == "with IPython")


@pytest.fixture
def ipython(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    yield from runner(monkeypatch, tmp_path, has_ipython=True)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    yield from runner(monkeypatch, tmp_path, has_ipython=False)


def runner(monkeypatch: pytest.MonkeyPatch, folder: Path, *, has_ipython: bool) -> Iterator[Run]:
    monkeypatch.chdir(folder)
    if not has_ipython:
        monkeypatch.setattr(python, "find_spec", lambda _: None)
    yield lambda *cells, databricks=False, **others: Ran(list(cells), others, databricks)
    InteractiveShell.clear_instance()
    for name in [name for name in sys.modules if name.startswith("airflow_ml_provider.runners.notebook.shell")]:
        sys.modules[name].Shell.clear_instance()


def test_commands_find_the_names_of_python(run: Run) -> None:
    ran = run('d = "/data/x"\n!echo rm -rf $d/* $NOWHERE\n!mkdir -p {d[1:]}/{1 + 1}\nprint("{d}")', databricks=True)
    assert ran.said.splitlines() == ["rm -rf /data/x/*", "{d}"]
    assert Path("data/x/2").is_dir() and not Path("{d}").exists()


def test_names_of_a_function_are_found_too(run: Run) -> None:
    assert run("d = 1\ndef f(d):\n    !echo {d} $d\nf(2)").said == "2 2\n"


def test_what_python_does_not_know_is_left_to_the_shell(run: Run) -> None:
    ran = run("d = 'x'\n!A=shell; echo $A {unknown} $d '$d' && echo a b | awk '{print $2}'")
    assert ran.said.splitlines() == ["shell {unknown} x $d", "b"]


def test_a_command_that_fails_ends_a_cell_of_jupyter(run: Run) -> None:
    with pytest.raises(CellFailed, match="exit code 3"):
        run("!exit 3\nraise AssertionError('went on')")
    assert run("!exit 3\nprint('went on')", databricks=True).said == "The script ended with exit code 3.\nwent on\n"


def test_texts_that_look_like_commands_stay(run: Run) -> None:
    text = "'''\n%no\n!rm -rf /\n  %sql\nobj?\n'''"
    assert run(f"!true\nt = {text}\nf(\n%s) if False else 0".replace("f(\n%s)", "(1\n% 2)")).names["t"] == text[3:-3]


def test_run_goes_on_with_the_cell(run: Run) -> None:
    others = {"setup": "a = dbutils.widgets.get('n')", "more": "b = a + '!'"}
    for cell in ('%run ./setup $n="1"\n%run ./more\nc = b * 2', '# first\n%run ./setup $n="1"\n\n%run ./more\nc = b * 2'):
        for databricks in (False, True):
            assert run(cell, databricks=databricks, **others).names["c"] == "1!1!"


def test_the_commonest_lines(run: Run) -> None:
    ran = run(
        "%env WORD=said\n%env OTHER two\n%matplotlib inline\n%config A.b = 1\n%load_ext autoreload\n%autoreload 2\n%cd /tmp",
        "import os\nfound = os.environ['WORD'], os.environ['OTHER'], os.path.realpath(os.getcwd())",
        "# a comment above\n\n%%time\nx = 1\nawait __import__('asyncio').sleep(0)",
        "%time y = 2",
    )
    assert ran.names["found"] == ("said", "two", os_path("/tmp"))
    assert (ran.names["x"], ran.names["y"]) == (1, 2)


def test_variables_and_the_folder_are_values(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython's documentation of %env: "%env" lists all variables, "%env var" gets the value of var."""
    monkeypatch.setenv("PLAIN", "a b")
    monkeypatch.setenv("SOME_API_KEY", "canary-5f")
    plain, folder, everything = [output["data"]["text/plain"] for output in run("%env PLAIN", "%pwd", "%env").outputs]
    assert (plain, folder) == (repr("a b"), repr(str(Path.cwd())))
    assert "'PLAIN': 'a b'" in everything
    assert "canary" not in everything
    with pytest.raises(CellFailed, match="NO_SUCH_NAME"):
        run("%env NO_SUCH_NAME")


def test_a_reset_forgets_the_users_names_only(ipython: Run) -> None:
    ran = ipython("x = 1\n%reset -f", "known = [name for name in ('x', 'spark', 'dbutils', 'display') if name in globals()]")
    assert ran.names["known"] == ["spark", "dbutils", "display"]


def os_path(path: str) -> str:
    return str(Path(path).resolve())


def test_a_line_of_sql_has_a_value(run: Run) -> None:
    ran = run("x = 1\n%sql SELECT '{x}'")
    assert ran.names["_sqldf"] == "result of SELECT '{x}'"
    assert [output["data"]["text/plain"] for output in ran.outputs] == [repr(ran.names["_sqldf"])]


def test_a_shell_cell_with_e_fails_at_its_first_failure(run: Run) -> None:
    with pytest.raises(CellFailed, match="exit code 1"):
        run("# MAGIC %sh -e\n# MAGIC false\n# MAGIC echo went on", databricks=True)
    assert run("# MAGIC %sh\n# MAGIC false\n# MAGIC echo went on", databricks=True).said == "went on\n"


def test_a_language_in_the_middle_of_a_cell_is_refused(run: Run) -> None:
    with pytest.raises(CellFailed, match="%sql: has to be the first line of its cell"):
        run("x = 1\n%sql\ny = 1", databricks=True)


def test_what_users_of_jupyter_type(ipython: Run) -> None:
    ran = ipython(
        "from IPython.display import display, HTML, Markdown\ndisplay(HTML('<b>bold</b>'))",
        "files = !echo one; echo two\nname = files[0]",
        "%%capture out\nprint('hidden')\ndisplay(HTML('<i>hidden</i>'))\n3",
        "shown = out.stdout, len(out.outputs)",
        "%%writefile {name}.py\nvalue = 7",
        "%ls",
        "get_ipython().system('echo from {shown[1]}')\nget_ipython().run_line_magic('env', 'A=1')",
        "len?",
        "pwd = %pwd",
        "display(Markdown('*m*'))",
    )
    forms = [output["data"] for output in ran.outputs if "data" in output]
    assert [form["text/html"] for form in forms if "text/html" in form] == ["<b>bold</b>"]
    assert "*m*" in [form.get("text/markdown") for form in forms]
    assert list(ran.names["files"]) == ["one", "two"]
    assert ran.names["shown"] == ("hidden\n", 2)
    assert Path("one.py").read_text() == "value = 7\n"
    assert "one.py" in ran.said and "from 2" in ran.said and "Return the number of items" in ran.said
    assert "hidden" not in ran.said
    assert ran.names["pwd"] == str(Path.cwd())


@pytest.mark.parametrize(
    "cell",
    [
        "%%capture\n1 / 0",
        "%time 1 / 0",
        "%%time\n1 / 0",
        "%timeit -n1 -r1 1 / 0",
        "get_ipython().run_cell('1 / 0')",
        "%run fails.py",
        "%%bash --no-raise-error\nexit 1\n\x00",
    ],
)
def test_an_error_in_a_magic_ends_the_cell(ipython: Run, cell: str) -> None:
    Path("fails.py").write_text("1 / 0")
    if "bash" in cell:
        assert ipython("%%bash -s one\necho got $1").said == "got one\n"
        with pytest.raises(CellFailed, match="CalledProcessError"):
            ipython("%%bash -s one\nexit 4")
        return
    with pytest.raises(CellFailed, match="ZeroDivisionError"):
        ipython(cell)


def test_a_script_runs_as_in_ipython(ipython: Run) -> None:
    Path("job.py").write_text("import sys\nvalue = sys.argv[1]")
    assert ipython("x = 1\n%run job.py word\ny = value").names["y"] == "word"
    with pytest.raises(CellFailed, match="nowhere.py"):
        ipython("%run nowhere.py")


def test_an_unknown_magic_is_named(run: Run) -> None:
    with pytest.raises(CellFailed, match=r"%nothing"):
        run("%nothing at all")


@pytest.mark.parametrize(
    "cell", ["x = !ls", "len?", "?len", "%%capture\nprint(1)", "%%writefile a\nb", "%ls", "!!ls", "x = %pwd"]
)
def test_without_ipython_what_needs_it_says_so(plain: Run, cell: str) -> None:
    with pytest.raises(CellFailed, match=r'only IPython runs this, and the driver has none: .*PyPI\("ipython"\)'):
        plain(cell)


def test_children_have_names_and_a_shell_of_their_own(ipython: Run) -> None:
    child = "x = 'child'\n!echo {x}\nfrom IPython.display import HTML, display\ndisplay(HTML('<p>'))\ndbutils.notebook.exit(x)"
    ran = ipython("x = 'main'\nleft = dbutils.notebook.run('child')\n!echo {x}", child=child)
    assert ran.said.splitlines()[0] == "child" and ran.said.splitlines()[-1] == "main"
    assert ran.names["left"] == "child"
    assert ran.outputs[1]["data"]["text/html"] == "<p>"
