"""Property bags with expressions in them, as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions import State, evaluate
from airflow_ml_provider.adf.graph import Json

DEEPEST = 64


def resolve(tree: Json, state: State) -> Json:
    """A tree of JSON with every expression in it evaluated.

    ``{"value": "@…", "type": "Expression"}`` becomes its value, and so does a string that begins with ``@`` or has ``@{…}``
    in it, at any depth, as Data Factory takes them.

    :raises ExpressionError: one of them has no value in this state.
    """
    return _resolved(tree, state, 0)


def expressions(tree: Json) -> Iterator[str]:
    """The texts in a tree that depend on a state."""
    for text in texts(tree):
        if text.startswith("@") or "@{" in text:
            yield text


def is_marked(tree: Json) -> bool:
    """Whether it is ``{"value": …, "type": "Expression"}``."""
    if not isinstance(tree, Mapping) or len(tree) != 2:
        return False
    return str(tree.get("type")).casefold() == "expression" and isinstance(tree.get("value"), str)


def _resolved(tree: Json, state: State, depth: int) -> Json:
    if depth > DEEPEST:
        raise EvaluationError(f"a value deeper than {DEEPEST}")
    if isinstance(tree, str):
        return evaluate(tree, state)
    if is_marked(tree):
        return evaluate(tree["value"], state)
    if isinstance(tree, Mapping):
        return {key: _resolved(inner, state, depth + 1) for key, inner in tree.items()}
    return [_resolved(inner, state, depth + 1) for inner in tree] if isinstance(tree, list) else tree


def texts(tree: Any, depth: int = 0) -> Iterator[str]:
    """Every text in a tree that is no key."""
    if isinstance(tree, str):
        yield tree
    elif depth <= DEEPEST and isinstance(tree, (Mapping, list)):
        for inner in tree.values() if isinstance(tree, Mapping) else tree:
            yield from texts(inner, depth + 1)
