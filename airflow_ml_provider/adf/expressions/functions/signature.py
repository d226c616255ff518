"""What a function takes, checked before it runs, so that the functions themselves are one line where they can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions.dotnet.numbers import type_name

_KINDS = {
    "any": frozenset({"Null", "Boolean", "Integer", "Float", "String", "Array", "Object"}),
    "text": frozenset({"String"}),
    "integer": frozenset({"Integer"}),
    "number": frozenset({"Integer", "Float"}),
    "flag": frozenset({"Boolean"}),
    "list": frozenset({"Array"}),
    "series": frozenset({"Array", "String"}),
    "groups": frozenset({"Array", "Object"}),
    "holder": frozenset({"Array", "Object", "String"}),
    "markup": frozenset({"Object", "String"}),
    "object": frozenset({"Object"}),
}


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language.

    :param name: in the documentation's capitals.
    :param takes: a kind for each argument; ``?`` after one that may be missing, ``*`` after one that may be repeated.
    :param lazy: it gets thunks instead of values.
    """

    name: str
    takes: tuple[str, ...]
    call: Callable[..., Any]
    lazy: bool = False

    def count(self, given: int) -> None:
        """Raise :class:`EvaluationError` unless so many arguments are right."""
        least = sum(1 for kind in self.takes if not kind.endswith("?"))
        most = None if self.takes and self.takes[-1].endswith("*") else len(self.takes)
        if given < least or (most is not None and given > most):
            span = f"{least}" if most == least else f"{least} or more" if most is None else f"{least} to {most}"
            raise EvaluationError(f"got {given} arguments: takes {span}")

    def check(self, arguments: Sequence[Any]) -> None:
        """Raise :class:`EvaluationError` unless the arguments are of the right types."""
        for number, value in enumerate(arguments):
            kind = self.takes[min(number, len(self.takes) - 1)].rstrip("?*")
            if (got := type_name(value)) not in _KINDS[kind]:
                takes = " or ".join(sorted(_KINDS[kind]))
                raise EvaluationError(f"argument {number + 1}: got a value of type {got}: takes {takes}")


class Table(dict[str, Function]):
    """The functions of one module, by name."""

    def add(self, name: str, *takes: str, lazy: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Enter the decorated function."""

        def enter(call: Callable[..., Any]) -> Callable[..., Any]:
            self[name] = Function(name, takes, call, lazy)
            return call

        return enter
