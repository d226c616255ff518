"""Runs Python cells: as IPython reads them where it can be imported, and without it plain Python and the commonest lines for IPython."""

from __future__ import annotations

import ast
import asyncio
import inspect
import linecache
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .lines import CALL, python_of
from .magics import run_line
from .outputs import bundle_of, show_figures
from .tables import Table

if TYPE_CHECKING:
    from .session import Session

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class PythonCells:
    """The Python of one notebook, among the names of its session.

    :ivar shell: IPython's shell; None where IPython cannot be imported.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.shell: Any = None
        session.namespace[CALL] = self._line
        if find_spec("IPython"):
            from .shell import started

            self.shell = started(session)

    def run(self, source: str, label: str) -> None:
        """Run a cell; the value of its last expression is shown, and the figures that it leaves open."""
        value = self.value(source, label)
        if value is not None:
            self._session.namespace["_"] = value
            self.show(value)
        show_figures(self._session.recorder, self.publish)

    def value(self, source: str, label: str = "<line>") -> Any:
        """Run Python; the value of the last expression, or None."""
        try:
            tree = ast.parse(source, label)
        except SyntaxError:
            source = self.shell.transform_cell(source) if self.shell else python_of(source)
            tree = ast.parse(source, label)
        linecache.cache[label] = (len(source), None, [f"{line}\n" for line in source.split("\n")], label)
        is_shown = tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";")
        last = tree.body.pop() if is_shown else None
        self._evaluate(compile(tree, label, "exec", _FLAGS))
        if not isinstance(last, ast.Expr):
            return None
        return self._evaluate(compile(ast.Expression(last.value), label, "eval", _FLAGS))

    def show(self, value: Any) -> None:
        """Show a value: a table, a picture, or in the forms that it has for IPython."""
        bundle = bundle_of(value, self._session.recorder)
        if self.shell and not isinstance(bundle, Table) and "image/png" not in bundle:
            bundle = {**self.shell.display_formatter.format(value)[0], **bundle}
        self.publish(bundle)

    def publish(self, bundle: dict[str, Any]) -> None:
        """Add an output to the cell, or to what captures it."""
        if self.shell:
            self.shell.display_pub.publish(bundle)
        else:
            self._session.recorder.data(bundle)

    def _evaluate(self, code: Any) -> Any:
        value = eval(code, self._session.namespace)  # noqa: S307 - running code is what a notebook is for
        return asyncio.run(value) if code.co_flags & inspect.CO_COROUTINE else value

    def _line(self, command: str) -> Any:
        names = {**self._session.namespace, **sys._getframe(1).f_locals}
        return run_line(self._session, command, names)
