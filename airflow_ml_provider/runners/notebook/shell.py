"""IPython's shell for the cells of one notebook: it runs them by our own rules, and an error in what it runs ends the cell."""

from __future__ import annotations

import base64
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core import page
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from IPython.core.magic import no_var_expand
from traitlets.config import Config

from .cells import is_script
from .lines import expanded
from .magics import CELLS, QUIET, TAKES_AS_IT_IS, run_shell, run_timed, run_word

if TYPE_CHECKING:
    from .session import Session


class _Publisher(DisplayPublisher):  # type: ignore[misc]
    """Hands what is displayed to the recorder of the notebook."""

    def publish(self, data: Any, *_: Any, **__: Any) -> None:
        for form, value in data.items():
            if isinstance(value, bytes):
                data[form] = base64.b64encode(value).decode()
        self.shell.session.recorder.data(data)

    def clear_output(self, wait: bool = False) -> None:
        """Keep what is there: a job's log does not go back."""


class Shell(InteractiveShell):  # type: ignore[misc]
    """The shell of one notebook. Its users reach it with ``get_ipython()``."""

    session: Any = None

    def init_sys_modules(self) -> None:
        """Leave ``__main__`` as it is: what executors run is pickled as a part of it."""

    def init_virtualenv(self) -> None:
        """Leave ``sys.path`` as it is."""

    def init_user_ns(self) -> None:
        """Leave Python's own ``open``, ``exit`` and ``quit`` in place."""
        super().init_user_ns()
        for name in ("open", "exit", "quit"):
            self.user_ns.pop(name, None)

    def var_expand(self, cmd: str, depth: int = 0, formatter: Any = None) -> str:
        """Replace Python's names in a command; ``depth`` frames above the caller are its own."""
        return expanded(cmd, {**self.user_ns, **sys._getframe(depth + 1).f_locals})

    def system(self, cmd: str) -> None:
        """Run a ``!`` line as a Bash script."""
        self.user_ns["_exit_code"] = run_shell(self.session, self.var_expand(cmd, depth=1))

    system_piped = system_raw = system

    def enable_gui(self, gui: str | None = None) -> None:
        """Do nothing: a job has no screen."""

    def run_cell(self, raw_cell: str, *_: Any, **__: Any) -> ExecutionResult:
        """Run a cell within a cell, such as that of ``%%capture``. What it raises is raised."""
        self.session.run_python(raw_cell)
        return ExecutionResult(None)

    def showtraceback(self, exc_tuple: Any = None, *_: Any, **__: Any) -> None:
        """Raise what IPython would show and forget."""
        raise exc_tuple[1] if exc_tuple else sys.exc_info()[1] or RuntimeError("IPython reports an error without an exception")

    showsyntaxerror = showindentationerror = showtraceback


def started(session: Session) -> Shell:
    """The shell of a notebook. That of the job's own notebook is the one that ``IPython.display`` finds."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    fields = {
        "config": config,
        "ipython_dir": str(Path.cwd() / ".ipython"),
        "user_ns": session.namespace,
        "display_pub_class": _Publisher,
    }
    shell = Shell(**fields) if Shell.initialized() else Shell.instance(**fields)
    shell.session = session
    shell.set_hook("show_in_pager", page.as_hook(page.display_page), 90)
    _add_magics(shell)
    return shell


def _add_magics(shell: Shell) -> None:
    """Ours go before IPython's of the same names."""
    lines, cells, session = shell.magics_manager.magics["line"], shell.magics_manager.magics["cell"], shell.session
    run_file, load = shell.find_line_magic("run"), shell.extension_manager.load_extension

    def run(line: str) -> None:
        if is_script(line) and not session.notebook.databricks:
            run_file(line)
        else:
            run_word(session, "run", line)

    def load_extension(name: str) -> None:
        try:
            load(name.strip())
        except ModuleNotFoundError as error:
            print(f"%load_ext {name}: {error}: the notebook goes on without its magics")

    for word in (*CELLS, *QUIET, "conda"):
        lines[word] = partial(run_word, session, word)
    for word in ("fs", "pip", "python", "sql"):
        cells[word] = partial(_run_cell, session, word)
    reset = shell.find_line_magic("reset")

    def forget(line: str) -> None:
        reset(line)
        session.add_names()

    lines["reset"] = forget
    lines["run"], lines["load_ext"], lines["reload_ext"] = run, load_extension, load_extension
    lines["time"], cells["time"] = partial(run_timed, session), partial(run_timed, session)
    for word in TAKES_AS_IT_IS:
        if word != "timeit":  # IPython's own
            no_var_expand(lines[word])


def _run_cell(session: Session, word: str, line: str, cell: str) -> None:
    CELLS[word](session, f"{line}\n{cell}")
