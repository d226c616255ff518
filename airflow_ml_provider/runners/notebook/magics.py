"""What the cells in other languages do. Each function takes the session and the cell's text without its magic."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import sql
from .arguments import has_widgets, with_widgets
from .cells import run_target
from .errors import Missing
from .interpreters import NAMES
from .lines import expanded
from .outputs import bundle_of
from .sql_statements import split
from .tables import table_bundle
from .words import file_command, words

if TYPE_CHECKING:
    from .session import Session

_PACKAGES = "notebook-packages"
QUIET = ("autoreload", "config", "matplotlib")
"""Lines that have no effect here."""
TAKES_AS_IT_IS = ("html", "md", "python", "sql", "time", "timeit")
"""Lines whose braces and dollars are their own."""
_SECRET = re.compile(r"key|token|secret|password", re.IGNORECASE)
"""In the names of variables whose values IPython hides too."""
_NEEDS_TEXT = ("fs", "html", "python", "sh", "sql")


def run_sql(session: Session, text: str) -> None:
    """Statement by statement; the last one's result is shown."""
    result = query(session, text)
    if result is not None and result.columns:
        session.recorder.data(bundle_of(result, session.recorder))


def query(session: Session, text: str) -> Any:
    """Run SQL statements; the last one's result, which is also ``_sqldf``, or None."""
    widgets = session.dbutils.widgets
    result = None
    for written in split(text):
        if found := sql.widget(written.text):
            getattr(widgets, found[0])(*found[1])
            continue
        statement = written.text
        if has_widgets(statement):  # still one statement: Spark refuses what a widget's value adds to it
            escapes = not _is_on(session, "spark.sql.parser.escapedStringLiterals")
            names = _is_on(session, "spark.sql.ansi.enabled") and _is_on(session, "spark.sql.ansi.doubleQuotedIdentifiers")
            statement = with_widgets(statement, widgets.getAll(), backslash_escapes=escapes, double_quotes_name=names)
        args = {name: widgets.get(name) for name in sorted(written.names)}
        result = session.spark.sql(statement, args=args) if args else session.spark.sql(statement)
    if result is not None:
        session.namespace["_sqldf"] = result
    return result


def _is_on(session: Session, property_: str) -> bool:
    return str(session.spark.conf.get(property_, "false")).lower() == "true"


def run_shell(session: Session, text: str) -> int:
    """A Bash script, and its exit code; one but 0 fails the cell in Jupyter's notebooks, and in Databricks' with ``-e``."""
    option, _, rest = text.lstrip().partition("\n") if text.lstrip().startswith("-e") else ("", "", text)
    script = option.removeprefix("-e") + "\n" + rest if option else text
    code = _printed(["bash", *(["-e"] if option else []), "-c", script])
    if code and (option or not session.notebook.databricks):
        raise RuntimeError(f"%sh: the script ended with exit code {code}")
    if code:
        print(f"The script ended with exit code {code}.")
    return code


def run_files(session: Session, text: str) -> None:
    """``%fs``: one command of ``dbutils.fs`` as a shell writes it."""
    command, arguments = file_command(text)
    result = getattr(session.dbutils.fs, command)(**arguments)
    if isinstance(result, list):
        columns = list(result[0]._fields) if result else ["path"]
        session.recorder.data(table_bundle(columns, [[str(value) for value in row] for row in result], session.recorder.redactor))
    elif result is not None:
        print(result)


def run_pip(session: Session, text: str) -> None:
    """``%pip``: installs into a folder of this job, so that neither other jobs nor the machine's own Python change."""
    for line in text.split("\n"):
        command = [os.path.expandvars(word) for word in words(line.strip().removeprefix("%pip"))]
        if command:
            _pip(command)
        if command[:1] == ["install"]:
            _ship(session.spark, Path.cwd() / _PACKAGES)


def _ship(spark: Any, folder: Path) -> None:
    """Let executors see what is installed. They take an archive, from which Python imports nothing that is compiled."""
    if compiled := next(folder.rglob("*.so"), None):
        print(f"Executors do not see what %pip installs: {compiled.name} is compiled: give the job libraries=[…]")
        return
    archive = shutil.make_archive(f"{_PACKAGES}-{time.time_ns()}", "zip", folder)
    if is_connect(spark):
        spark.addArtifacts(archive, pyfile=True)
    else:
        spark.sparkContext.addPyFile(archive)


def is_connect(spark: Any) -> bool:
    """Whether there is no JVM beside this session."""
    return ".connect." in type(spark).__module__


def _pip(command: list[str]) -> None:
    if command[0] == "uninstall":
        raise Missing("%pip uninstall: the cluster's own libraries stay: install the version that you need beside them")
    target = Path.cwd() / _PACKAGES
    into = ["--target", str(target), "--upgrade"] if command[0] == "install" else []
    code = _printed([*_installer(), command[0], *into, *command[1:]])
    if code:
        raise RuntimeError(f"%pip {' '.join(command)}: ended with exit code {code}")
    if into and str(target) not in sys.path:
        sys.path.insert(0, str(target))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(target), os.environ.get("PYTHONPATH"))))
    importlib.invalidate_caches()


def _installer() -> list[str]:
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    beside = Path(sys.executable).with_name("uv")
    if uv := (str(beside) if beside.exists() else shutil.which("uv")):
        return [uv, "pip"]
    raise Missing(f"%pip: {sys.executable} has no pip: give the job libraries=[…]")


def _printed(command: list[str]) -> int:
    """Run a command, print what it says as it says it, and return its exit code."""
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, errors="replace", **pipes) as process:
        for line in process.stdout or ():
            print(line, end="")
    return process.returncode


def run_other(session: Session, text: str) -> None:
    """``%run``: the cells of another notebook, among the names of this one."""
    path, arguments = run_target(text)
    session.include(path, arguments)


def run_python(session: Session, text: str) -> None:
    """Python."""
    session.run_python(text)


def run_nothing(_: Session, line: str) -> None:
    """Text is shown as it is; and what ``%pip`` installs is found without a new Python."""


def configure(session: Session, text: str) -> None:
    """``%%configure`` of Synapse: Spark properties that a session takes while it runs are set; what else it asks for is the cluster's."""
    try:
        asked = json.loads(re.sub(r"\A\s*-f\b", "", text) or "{}")
    except ValueError as error:
        raise Missing(f"%%configure: expected a JSON object: {error}") from None
    conf = asked.get("conf") or {} if isinstance(asked, dict) else None
    if not isinstance(conf, dict):
        raise Missing('%%configure: expected a JSON object, and in it {"conf": {"name": "value"}}')
    left = sorted(set(asked) - {"conf"})
    for name, value in conf.items():
        if isinstance(value, dict) and "defaultValue" in value:  # {"parameterName": …, "defaultValue": …}
            value = value["defaultValue"]
        try:
            session.spark.conf.set(name, str(value))
        except Exception as error:  # noqa: BLE001 - of two APIs, each with classes of its own
            left.append(f"{name} ({str(error).splitlines()[0]})")
    if left:
        print(f"%%configure: the cluster runs already, so this has no effect here: {', '.join(left)}: set it for the cluster")


CELLS: Mapping[str, Callable[[Any, str], Any]] = {
    "configure": configure,
    "fs": run_files,
    "html": lambda session, text: session.recorder.data({"text/html": text}, said="(HTML)"),
    "md": run_nothing,
    "pip": run_pip,
    "python": run_python,
    "restart_python": run_nothing,
    "run": run_other,
    "sh": run_shell,
    "sql": run_sql,
}


def run_cell(session: Session, language: str, text: str) -> None:
    """Run a cell; :class:`Missing` names a magic that is not there."""
    if language not in CELLS:
        raise Missing(f"%{language}: no such magic: a cell takes {', '.join(f'%{name}' for name in sorted({*CELLS, *NAMES}))}")
    CELLS[language](session, text)


def run_line(session: Session, command: str, names: Mapping[str, Any]) -> Any:
    """Run one line for IPython where IPython is not there; the value of the line, or None.

    :param names: what Python's names in the command stand for.
    :raises Missing: only IPython runs such a line.
    """
    needs = 'only IPython runs this, and the driver has none: give the job libraries=[PyPI("ipython")]'
    if not re.match(r"%[A-Za-z]|![^!]", command):
        raise Missing(f"{command.partition(chr(10))[0]}: {needs}")
    if command.startswith("!"):
        run_shell(session, expanded(command[1:], names))
        return None
    word, _, rest = command[1:].partition(" ")
    if word not in (*CELLS, *QUIET, *_LINES, "conda", "tensorboard") and word not in NAMES:
        raise Missing(f"%{word}: {needs}")
    rest = rest if word in TAKES_AS_IT_IS else expanded(rest, names)
    return (_LINES.get(word) or partial(run_word, word=word))(session, line=rest)


def run_word(session: Session, word: str, line: str) -> Any:
    """Run a magic of ours that stands in a line of a Python cell; the result of ``%sql`` is its value."""
    if word in QUIET:
        return None
    if word in _NEEDS_TEXT and not line.strip():
        raise Missing(f"%{word}: has to be the first line of its cell, or followed by what it runs in the same line")
    return query(session, line) if word == "sql" else run_cell(session, word, line)


def run_timed(session: Session, line: str, cell: str | None = None) -> Any:
    """``%time`` and ``%%time``: print how long it takes. The value of a line is that of its expression."""
    began = time.monotonic()
    try:
        return session.python.value(line) if cell is None else session.run_python(cell)
    finally:
        print(f"Wall time: {time.monotonic() - began:.3g} s")


def _run_once(session: Session, line: str) -> None:
    session.run_python(re.sub(r"\A(\s*-[a-z]\s*\d*)+\s", "", line))


def _change_folder(_: Session, line: str) -> None:
    os.chdir(line.strip())


def _environment(_: Session, line: str) -> Any:
    """``%env``: all variables, but for values that look secret; ``%env NAME``: one; ``%env NAME=value`` sets it."""
    found = re.fullmatch(r"\s*(?:([A-Za-z_]\w*)(?:(?:\s*=\s*|\s+)(.*?))?)?\s*", line, re.DOTALL)
    if found is None:
        raise Missing(f"%env {line}: expected %env, %env NAME or %env NAME=value")
    name, value = found.groups()
    if name is None:
        return {name: "<hidden>" if _SECRET.search(name) else value for name, value in os.environ.items()}
    if value is None:
        if name not in os.environ:
            raise Missing(f"%env {name}: there is no such variable")
        return os.environ[name]
    os.environ[name] = value
    print(f"env: {name}={value}")
    return None


_LINES: Mapping[str, Callable[..., Any]] = {
    "cd": _change_folder,
    "env": _environment,
    "load_ext": run_nothing,
    "pwd": lambda session, line: str(Path.cwd()),
    "reload_ext": run_nothing,
    "time": run_timed,
    "timeit": _run_once,
}
"""What IPython itself runs where it is there."""
