"""The expression language of Data Factory and Synapse.

:func:`evaluate` gives a text its value in a state, which is a mapping::

    {
        "parameters": {...},        # pipeline().parameters
        "globalParameters": {...},  # pipeline().globalParameters
        "variables": {...},
        "item": ...,                # inside a ForEach or a Filter; None or missing outside
        "activities": {name: {"output": ..., "status": ..., "error": {...}}},
        "pipeline": {"RunId": ..., "TriggerTime": ...},  # system variables
        "trigger": {"startTime": ..., "outputs": {...}},
        "dataset": {...}, "linkedService": {...},        # arguments of parameterised ones
    }

A state without ``pipeline`` belongs to no run, as when an export is looked at: its system variables are :data:`NO_RUN`.

Where Microsoft's documentation and evaluator disagree this follows the evaluator: ``string(true)`` is ``True``; strings
compare by code; ``contains`` of an array tells 1 from 1.0 while ``equals`` does not; ``if`` takes booleans only; a time
with an offset becomes UTC and is written with ``+00:00``; the culture of ``formatDateTime`` changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions.dotnet.json import LONGEST
from airflow_ml_provider.adf.expressions.dotnet.numbers import type_name, write_float
from airflow_ml_provider.adf.expressions.functions import FUNCTIONS, Function
from airflow_ml_provider.adf.expressions.functions.words import to_text
from airflow_ml_provider.adf.expressions.grammar import Call, Joined, Literal, Node, Select, parse

State = Mapping[str, Any]

NO_RUN: Mapping[str, str] = {
    "DataFactory": "adf-x",
    "Pipeline": "pl-x",
    "RunId": "11111111-2222-3333-4444-555555555555",
    "TriggerId": "22222222-3333-4444-5555-666666666666",
    "TriggerName": "tr-x",
    "TriggerTime": "2024-02-29T13:05:09.1234567Z",
    "TriggerType": "Manual",
    "GroupId": "11111111-2222-3333-4444-555555555555",
}
"""Samples of the system variables, for a state that belongs to no run; recorded states of the evaluator leave them out. A run always has
its own."""

REFERENCES = ("activity", "dataset", "item", "linkedService", "parameters", "pipeline", "trigger", "triggerBody", "variables")
"""What reads the state; everything else is a function of :data:`FUNCTIONS`."""


def evaluate(text: str, state: State) -> Any:
    """The value of a text of a document: plain, ``@expression``, or with ``@{…}`` in it.

    :returns: a JSON value; numbers that JSON does not have become strings, ``NaN`` and ``Infinity``.
    :raises ExpressionError: it cannot be read, or has no value in this state.
    """
    return value_of(parse(text), text, state)


def value_of(node: Node, text: str, state: State) -> Any:
    """The value of a parsed expression; ``text`` is what messages show."""
    return _jsonable(Evaluation(text, state).value(node))


def calls(text: str) -> Iterator[Call]:
    """Every call in a text, in any order.

    :raises ExpressionSyntaxError: it cannot be read.
    """
    found: list[Node] = [parse(text)]
    while found:
        node = found.pop()
        if isinstance(node, Call):
            yield node
        found.extend(inside(node))


def inside(node: Node) -> tuple[Node, ...]:
    """The nodes right below one."""
    if isinstance(node, Call):
        return node.arguments
    if isinstance(node, Select):
        return node.target, node.key
    return node.parts if isinstance(node, Joined) else ()


def _jsonable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return write_float(value)
    if isinstance(value, dict):
        return {key: _jsonable(inner) for key, inner in value.items()}
    return [_jsonable(inner) for inner in value] if isinstance(value, list) else value


class Evaluation:
    """One text in one state."""

    functions: Mapping[str, Function] = FUNCTIONS
    references: frozenset[str] = frozenset(name.casefold() for name in REFERENCES)

    def __init__(self, text: str, state: State) -> None:
        self.text, self.state = text, state

    def value(self, node: Node) -> Any:
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Joined):
            return self._sized("".join(to_text(self.value(part)) for part in node.parts))
        if isinstance(node, Select):
            return self._selected(node, self.value(node.target), self.value(node.key))
        try:
            return self._called(node)
        except EvaluationError as error:
            if error.text:
                raise
            raise EvaluationError(error.reason, self.text, node.position, node.name) from error

    def _called(self, call: Call) -> Any:
        name = call.name.casefold()
        if name in self.references:
            return self._referred(name, [self.value(one) for one in call.arguments])
        function = self.functions.get(name)
        if function is None:
            raise EvaluationError("the language has no such function")
        function.count(len(call.arguments))
        if function.lazy:
            return function.call(*(lambda one=one: self.value(one) for one in call.arguments))
        values = [self.value(one) for one in call.arguments]
        function.check(values)
        return self._sized(function.call(*values))

    def _sized(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) > LONGEST:
            raise EvaluationError(f"a text of more than {LONGEST} characters", self.text)
        return value

    def _referred(self, name: str, arguments: list[Any]) -> Any:
        named = name in ("activity", "variables", "parameters")
        if len(arguments) != named or (named and not isinstance(arguments[0], str)):
            raise EvaluationError(f"takes {'a name' if named else 'no arguments'}")
        if named:
            return self._named(name, arguments[0])
        if name == "pipeline":
            return self._pipeline()
        if name == "triggerbody":
            return _get(_get(self._bag("trigger"), "outputs") or self._bag("trigger"), "body")
        found = self.state.get({"linkedservice": "linkedService"}.get(name, name))
        if found is None:
            raise EvaluationError("there is none here: takes a place inside what gives it a value")
        return found

    def _named(self, name: str, key: str) -> Any:
        bag = self._bag({"activity": "activities"}.get(name, name))
        found = key if key in bag else next((one for one in bag if one.casefold() == key.casefold()), None)
        if found is None:
            raise EvaluationError(f"there is no {name.removesuffix('s')} {key!r} in this state")
        return bag[found]

    def _pipeline(self) -> Mapping[str, Any]:
        system = self.state.get("pipeline")
        return {
            **(NO_RUN if system is None else system),
            "parameters": self._bag("parameters"),
            "globalParameters": self._bag("globalParameters"),
            "dataset": self._bag("dataset"),
            "linkedService": self._bag("linkedService"),
        }

    def _bag(self, name: str) -> Any:
        return self.state.get(name) or {}

    def _selected(self, select: Select, target: Any, key: Any) -> Any:
        if isinstance(target, Mapping) and isinstance(key, str):
            found = key if key in target else next((one for one in target if one.casefold() == key.casefold()), None)
            if found is not None:
                return target[found]
            problem = f"there is no property {key!r}, only {', '.join(map(repr, list(target)[:20])) or 'none'}"
        elif isinstance(target, list) and type(key) is int:
            if 0 <= key < len(target):
                return target[key]
            problem = f"there is no element {key}, only {len(target)} elements"
        elif target is None:
            problem = f"there is no {key!r} in null"
        else:
            takes = {"Object": "a name", "Array": "an integer"}.get(type_name(target), "an object or an array")
            raise EvaluationError(
                f"got {key!r} of a value of type {type_name(target)}: takes {takes}", self.text, select.position
            )
        if select.optional:
            return None
        raise EvaluationError(problem, self.text, select.position)


def _get(bag: Any, name: str) -> Any:
    return bag.get(name) if isinstance(bag, Mapping) else None
