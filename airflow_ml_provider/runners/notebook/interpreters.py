"""Cells in languages that have an interpreter of their own, which keeps what they define until the notebook ends."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .bridge import Bridge

if TYPE_CHECKING:
    from .session import Session

NAMES = {"r": "names.r", "scala": "names.scala"}
"""By language the file, beside this one, of what its cells find without an import."""
_CLASSES = {"r": "R", "scala": "Scala"}


class Interpreter:
    """Runs the cells of one notebook that are in one language.

    :param names: the text of the language's file in :data:`NAMES`.
    :raises Missing: the language is not there.
    """

    def __init__(self, session: Session, names: str) -> None:
        self.bridge = Bridge(session)
        self.recorder = session.recorder

    def run(self, source: str) -> None:
        """Run a cell. :class:`RuntimeError` in the language's own words when it fails."""
        raise NotImplementedError

    def close(self) -> None:
        """End it."""
        raise NotImplementedError


def interpreter(language: str) -> Callable[[Session, str], Any]:
    """The class for a language."""
    package = __name__.rpartition(".")[0]
    found: Callable[[Session, str], Any] = getattr(import_module(f"{package}.{language}"), _CLASSES[language])
    return found
