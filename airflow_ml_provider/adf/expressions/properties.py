"""Property bags with expressions in them, as values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions.evaluator import State, evaluate
from airflow_ml_provider.adf.model import Json

DEEPEST = 64
_SECRET = "AzureKeyVaultSecret"


def resolve(
    tree: Json,
    state: State | Callable[[str], State],
    secret: Callable[[str], Json] | None = None,
    seen: Callable[[Json], Json] = lambda value: value,
) -> Json:
    """A tree of JSON with every expression in it evaluated. It is the only place that decides what a property's value is.

    A text has the value that :func:`~airflow_ml_provider.adf.expressions.evaluator.evaluate` gives it, at any depth: an expression when it begins
    with ``@``, with each ``@{…}`` in it replaced, or as it is. ``{"value": text, "type": "Expression"}`` is the value of the text, and
    ``{"value": …, "type": "SecureString"}`` that of what it holds.

    :param state: or what gives a text the state that it needs.
    :param secret: gives the secrets of ``{"type": "AzureKeyVaultSecret", "secretName": …}``; without it they stay as they are.
    :param seen: is given the value of each text right after its state was asked for, and gives it back.
    :raises ExpressionError: one of them has no value in this state.
    """
    return _Resolver(state if callable(state) else lambda text: state, secret, seen).value(tree, 0)


def expressions(tree: Json) -> Iterator[str]:
    """The texts in a tree that depend on a state."""
    for text in texts(tree):
        if text.startswith("@") or "@{" in text:
            yield text


def is_marked(tree: Json, kind: str = "expression") -> bool:
    """Whether it is ``{"value": …, "type": "Expression"}``, or has another type in the place of that."""
    return isinstance(tree, Mapping) and len(tree) == 2 and "value" in tree and str(tree.get("type")).casefold() == kind


@dataclass(frozen=True)
class _Resolver:
    state: Callable[[str], State]
    secret: Callable[[str], Json] | None
    seen: Callable[[Json], Json]

    def value(self, tree: Json, depth: int) -> Json:
        if depth > DEEPEST:
            raise EvaluationError(f"a value deeper than {DEEPEST}")
        if isinstance(tree, str):
            return self.seen(evaluate(tree, self.state(tree))) if "@" in tree else tree
        if isinstance(tree, list):
            return [self.value(inner, depth + 1) for inner in tree]
        if not isinstance(tree, Mapping):
            return tree
        if is_marked(tree) or is_marked(tree, "securestring"):
            return self.value(tree["value"], depth + 1)
        if self.secret and tree.get("type") == _SECRET and "secretName" in tree:
            return self.secret(str(self.value(tree["secretName"], depth + 1)))
        return {key: self.value(inner, depth + 1) for key, inner in tree.items()}


def texts(tree: Any, depth: int = 0) -> Iterator[str]:
    """Every text in a tree that is no key."""
    if isinstance(tree, str):
        yield tree
    elif depth <= DEEPEST and isinstance(tree, (Mapping, list)):
        for inner in tree.values() if isinstance(tree, Mapping) else tree:
            yield from texts(inner, depth + 1)
