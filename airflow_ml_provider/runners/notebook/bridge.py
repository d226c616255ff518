"""What cells in other languages ask of the notebook: ``dbutils``, widgets and all, and a way to show things."""

from __future__ import annotations

import base64
import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .errors import Missing, NotebookExit
from .outputs import bundle_of
from .tables import table_bundle

if TYPE_CHECKING:
    from .session import Session

COMMANDS = (
    *(f"fs.{name}" for name in ("cp", "head", "ls", "mkdirs", "mounts", "mv", "put", "rm")),
    *("jobs.taskValues.get", "jobs.taskValues.set"),
    *("notebook.exit", "notebook.run"),
    *("secrets.get", "secrets.list", "secrets.listScopes"),
    *(
        f"widgets.{name}"
        for name in ("combobox", "dropdown", "get", "getAll", "getArgument", "multiselect", "remove", "removeAll", "text")
    ),
)
"""The commands of ``dbutils`` that every language has."""


class Bridge:
    """Answers the cells of one notebook that are not Python.

    :ivar left: what the notebook handed to ``exit``, once it did.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.left: NotebookExit | None = None

    def ask(self, command: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> tuple[bool, Any]:
        """The answer in plain values; False with a sentence when there is none."""
        try:
            answer = self._answer(command)(*arguments, **named)
        except NotebookExit as left:
            self.left = left
            return False, "the notebook has ended"
        except Exception as error:  # noqa: BLE001 - it goes on in the other language
            kind = "" if isinstance(error, Missing) else f"{type(error).__name__}: "
            return False, f"{kind}{error}"
        return True, _plain(answer)

    def _answer(self, command: str) -> Callable[..., Any]:
        own: dict[str, Callable[..., Any]] = {"csv": self._csv, "html": self._html, "png": self._png, "view": self._view}
        if command in own:
            return own[command]
        if command not in COMMANDS:
            raise Missing(f"dbutils.{command}: is not there: takes one of {', '.join(COMMANDS)}")
        found: Any = self._session.dbutils
        for name in command.split("."):
            found = getattr(found, name)
        return cast("Callable[..., Any]", found)

    def _view(self, name: str) -> None:
        """Show a temporary view, and forget it."""
        recorder = self._session.recorder
        recorder.data(bundle_of(self._session.spark.table(name), recorder))
        self._session.spark.catalog.dropTempView(name)

    def _csv(self, path: str) -> None:
        """Show the table in a file."""
        with Path(path).open(newline="", encoding="utf-8") as file:
            columns, *rows = csv.reader(file)
        self._session.recorder.data(table_bundle(columns, rows, self._session.recorder.redactor))

    def _png(self, path: str) -> None:
        """Show the picture in a file."""
        picture = base64.b64encode(Path(path).read_bytes()).decode()
        self._session.recorder.data({"image/png": picture, "text/plain": "<picture>"})

    def _html(self, text: str) -> None:
        self._session.recorder.data({"text/html": text}, said="(HTML)")


def _plain(value: Any) -> Any:
    """Texts, numbers, truths, None, and lists and dictionaries of them; a secret's key and a scope's name as a text."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return next((getattr(value, name) for name in ("key", "name") if hasattr(value, name)), str(value))
