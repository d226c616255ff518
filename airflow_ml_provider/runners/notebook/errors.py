"""What ends a notebook, or a cell."""

from __future__ import annotations


class Missing(RuntimeError):
    """The notebook uses something that is not there. The message names it, and what to do instead."""


class NotebookExit(BaseException):
    """``dbutils.notebook.exit`` was called; an ``except Exception`` of the notebook does not catch it.

    :param value: what the notebook hands back.
    """

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value


class CellFailed(RuntimeError):
    """A cell raised an error. The message has the cell's number, its source and the error."""


class Unavailable:
    """Stands for a name that is not there: it says so as soon as it is used.

    :param why: the sentence after the name.
    """

    def __init__(self, name: str, why: str) -> None:
        self._name = name
        self._why = why

    def __getattr__(self, name: str) -> Unavailable:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Missing(f"{self._name}.{name}: {self._why}")

    def __call__(self, *_: object, **__: object) -> object:
        raise Missing(f"{self._name}: {self._why}")
