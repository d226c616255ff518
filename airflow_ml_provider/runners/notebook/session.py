"""Runs the cells of a notebook, one after the other, among the same names."""

from __future__ import annotations

import posixpath
import re
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .arguments import ASSIGNMENTS, wrong_name
from .cells import Cell, NotebookText, read
from .dbutils import DBUtils, Shared
from .document import Ran
from .errors import CellFailed, Missing, NotebookExit, Unavailable
from .interpreters import NAMES, interpreter
from .magics import is_connect, run_cell
from .outputs import Recorder, show_figures
from .python import PythonCells
from .synapse import MSSparkUtils, names_of

_CLASSIC = 'there is no SparkContext under Spark Connect: declare the notebook with api="classic"'
_HINTS = {
    "JVM_ATTRIBUTE_NOT_SUPPORTED": _CLASSIC,
    "CANNOT_CONFIGURE_SPARK_CONNECT_MASTER": "the notebook runs under Spark Connect, which has no master: remove .master(…), or "
    'declare the notebook with api="classic"',
}
_CELL = re.compile(r"<.* cell \d+>")
_SOURCE_LINES = 30
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Library:
    """The notebooks that were shipped.

    :param files: file name and text by path; the paths are relative to one folder, without their ending.
    """

    files: Mapping[str, Mapping[str, str]]

    def find(self, origin: str, path: str) -> str:
        """The path of the notebook that ``origin`` calls ``path``."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        for found in (path, posixpath.splitext(path)[0]):
            if found in self.files:
                return found
        known = ", ".join(sorted(self.files))
        raise Missing(f"notebook {path!r}: was not shipped with the job ({known}): name it in the notebook's others=[…]")

    def read(self, path: str) -> NotebookText:
        """The notebook at a path."""
        return read(self.files[path]["name"], self.files[path]["text"])


@dataclass
class Session:
    """One notebook that runs.

    :param path: of the notebook in the library.
    :param deadline: when it has to have ended, on the monotonic clock.
    """

    shared: Shared
    library: Library
    recorder: Recorder
    path: str
    parameters: Mapping[str, Any]
    namespace: dict[str, Any]
    deadline: float | None = None
    depth: int = 0
    child: bool = False
    ran: list[Ran] = field(default_factory=list)
    interpreters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.notebook = self.library.read(self.path)
        self.dbutils = DBUtils(self.shared, self.path, self.parameters, self._run_child, self._display)
        self.add_names()
        self.python = PythonCells(self)

    def add_names(self) -> None:
        """Give the notebook what it finds without an import, such as ``spark``."""
        self.namespace.update(self._names())
        if not self.notebook.databricks:
            self.namespace.update(names_of(MSSparkUtils(self.dbutils, self.path, is_child=self.child)))

    @property
    def spark(self) -> Any:
        """The Spark session."""
        return self.shared.spark

    def run(self) -> str | None:
        """Run every cell; what the notebook hands to ``exit``, or None. :class:`CellFailed` for the cell that fails."""
        cells = with_parameters(self.notebook, self.parameters)
        self.ran = [Ran(cell) for cell in cells]
        try:
            return self._run_all()
        finally:
            for one in self.interpreters.values():
                one.close()

    def _run_all(self) -> str | None:
        for number, ran in enumerate(self.ran, 1):
            if self.deadline and time.monotonic() > self.deadline:
                raise CellFailed(f"{self.path}: its time was over before cell {number}")
            try:
                self._run_timed(number, ran)
            except NotebookExit as end:
                ran.state = "exited"
                return end.value
        return None

    def include(self, path: str, arguments: Mapping[str, str]) -> None:
        """Run another notebook's cells among the names of this one."""
        found = self.library.find(self.path, path)
        if self.depth >= _DEEPEST:
            raise Missing(f"%run {path}: notebooks run each other without an end")
        here = self.path, self.notebook
        self.dbutils.widgets._assign(arguments)
        self.path, self.notebook, self.depth = found, self.library.read(found), self.depth + 1
        try:
            cells = self.notebook.cells if self.notebook.databricks else with_parameters(self.notebook, arguments)
            for number, cell in enumerate(cells, 1):
                self._run_cell(number, cell)
        finally:
            (self.path, self.notebook), self.depth = here, self.depth - 1

    def run_python(self, source: str, label: str = "<line>") -> None:
        """Run Python; the value of the last expression is shown."""
        self.python.run(source, label)

    def _run_timed(self, number: int, ran: Ran) -> None:
        began = time.monotonic()
        try:
            self._run_cell(number, ran.cell)
            ran.state = "ok"
        except NotebookExit:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a cell raises ends the notebook
            ran.state = "failed"
            lines = _trace(error)
            self.recorder.error(type(error).__name__, str(error), "".join(lines))
            raise CellFailed(failure(self.path, number, ran.cell, error)) from None
        finally:
            ran.seconds = time.monotonic() - began
            if not self.child:  # what a child shows belongs to the cell that ran it
                ran.outputs = self.recorder.take()

    def _run_cell(self, number: int, cell: Cell) -> None:
        label = f"<{self.path} cell {number}>"
        if cell.language == "python":
            self.run_python(cell.source, label)
            return
        if cell.language in NAMES:
            self._interpreter(cell.language).run(cell.source)
        else:
            run_cell(self, cell.language, cell.source)
        show_figures(self.recorder)

    def _interpreter(self, language: str) -> Any:
        """The language's interpreter, started by its first cell."""
        if language not in self.interpreters:
            self.interpreters[language] = interpreter(language)(self, self.shared.names[language])
        return self.interpreters[language]

    def _run_child(self, path: str, timeout: int, arguments: Mapping[str, str]) -> str:
        found = self.library.find(self.path, path)
        if self.depth >= _DEEPEST:
            raise Missing(f"dbutils.notebook.run({path!r}): notebooks run each other without an end")
        deadline = time.monotonic() + timeout if timeout else None
        names = {"__name__": "__main__"}
        child = Session(self.shared, self.library, self.recorder, found, arguments, names, deadline, self.depth + 1, child=True)
        try:
            return child.run() or ""
        finally:
            self.add_names()  # the modules of Synapse's utilities were the child's meanwhile

    def _names(self) -> dict[str, Any]:
        """What every notebook finds without an import."""
        context = None if is_connect(self.spark) else self.spark.sparkContext
        type(self.spark.range(0)).display = lambda table, *_, **__: self._display(table)
        return {
            "spark": self.spark,
            "sql": self.spark.sql,
            "table": self.spark.table,
            "sc": context or Unavailable("sc", _CLASSIC),
            "sqlContext": self.spark,
            "dbutils": self.dbutils,
            "display": self._display,
            "displayHTML": lambda text: self.recorder.data({"text/html": str(text)}, said="(HTML)"),
            "getArgument": self.dbutils.widgets.getArgument,
        }

    def _display(self, *values: Any, **_: Any) -> None:
        for value in values:
            self.python.show(value)


def with_parameters(notebook: NotebookText, parameters: Mapping[str, Any]) -> Sequence[Cell]:
    """The cells, with one that sets the parameters after the cell tagged ``parameters``, as papermill does.

    Databricks' notebooks read widgets: they get such a cell only when they have the tag.

    :raises Missing: a parameter's name cannot be a variable.
    """
    cells = list(notebook.cells)
    tagged = next((at for at, cell in enumerate(cells, 1) if "parameters" in cell.tags), None)
    if not parameters or notebook.language not in ASSIGNMENTS or (notebook.databricks and tagged is None):
        return cells
    if wrong := next(filter(None, map(wrong_name, parameters)), ""):
        raise Missing(f"parameters: {wrong}")
    assign = ASSIGNMENTS[notebook.language]
    source = "\n".join(assign(name, value) for name, value in parameters.items())
    cells.insert(tagged or 0, Cell(notebook.language, source, source, tags=("injected-parameters",)))
    return cells


def failure(path: str, number: int, cell: Cell, error: BaseException) -> str:
    """What a failed task's log ends with: the cell's number, its source and the error."""
    lines = cell.original.split("\n")
    shown = lines[:_SOURCE_LINES] + ([f"… {len(lines)} lines"] if len(lines) > _SOURCE_LINES else [])
    words = "".join(traceback.format_exception_only(type(error), error)).partition("\n\nJVM stacktrace:")[0].strip()
    title = f" ({cell.title})" if cell.title else ""
    hint = [hint for condition, hint in _HINTS.items() if f"[{condition}]" in words]
    return "\n".join([f"Notebook {path}, cell {number}{title} failed:", *(f"    {line}" for line in shown), words, *hint])


def _trace(error: BaseException) -> list[str]:
    """The traceback from the cell's first line on."""
    trace = error.__traceback__
    while trace is not None and not _CELL.match(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return traceback.format_exception(type(error), error, trace, chain=False)
