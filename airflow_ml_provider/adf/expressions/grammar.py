"""The grammar: a text is plain, one expression (``@…``), or plain parts and expressions in turn (``…@{…}…``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_ml_provider.adf.errors import ExpressionSyntaxError
from airflow_ml_provider.adf.expressions.dotnet.numbers import HIGHEST, LOWEST

DEEPEST = 100
"""Calls and brackets inside each other."""
LONGEST = 1024 * 1024
"""Characters of a text with expressions."""

_SPACE = r"[\t-\r\ \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*"
"""What .NET calls white space."""
_TOKEN = re.compile(
    rf"""{_SPACE}(?:
      (?P<number>[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)(?!\w)
    | (?P<name>[^\W\d][\w$]*|\$[\w$]*)
    | (?P<string>'(?:[^']|'')*')
    | (?P<select>\??{_SPACE}[.\[])
    | (?P<mark>[(),\]])
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_STRING = re.compile(r"'(?:[^']|'')*'")
_CONSTANTS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    value: Any
    position: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments; the name as it is written."""

    name: str
    arguments: tuple[Node, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Select:
    """``target.key`` or ``target[key]``.

    :param optional: written with a question mark: null where there is nothing to select.
    """

    target: Node
    key: Node
    optional: bool
    position: int


@dataclass(frozen=True, slots=True)
class Joined:
    """Parts that make one string."""

    parts: tuple[Node, ...]
    position: int = 0


Node = Literal | Call | Select | Joined


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


def parse(text: str) -> Node:
    """What a text of a document means.

    :raises ExpressionSyntaxError: with the position in the text.
    """
    if len(text) > LONGEST:
        raise ExpressionSyntaxError(f"got {len(text)} characters: takes {LONGEST} at most", text)
    if text.startswith("@@"):
        return Literal(text[1:])
    if text.startswith("@{") or not text.startswith("@"):
        return _joined(text) if "@{" in text else Literal(text)
    return parse_expression(text, 1) if len(text) > 1 else Literal(text)


def parse_expression(text: str, begin: int = 0, end: int | None = None) -> Node:
    """The expression in a part of a text."""
    parser = _Parser(text, begin, len(text) if end is None else end)
    node = parser.expression(0)
    parser.take("end", "", "the end")
    return node


def _joined(text: str) -> Joined:
    parts: list[Node] = []
    at = 0
    while (mark := text.find("@{", at)) >= 0:
        if mark > at and text[mark - 1] == "@":
            parts.append(Literal(text[at : mark - 1] + "@{", at))
            at = mark + 2
            continue
        end = _closing(text, mark)
        parts.extend([Literal(text[at:mark], at), parse_expression(text, mark + 2, end)])
        at = end + 1
    parts.append(Literal(text[at:], at))
    return Joined(tuple(part for part in parts if part != Literal("", part.position)))


def _closing(text: str, mark: int) -> int:
    """Where the brace after ``@{`` is closed; braces in strings do not count."""
    at = mark + 2
    while at < len(text):
        if text[at] == "}":
            return at
        string = _STRING.match(text, at)
        at = string.end() if string else at + 1
    raise ExpressionSyntaxError("'@{' is not closed: takes a '}' after the expression", text, mark)


class _Parser:
    """Recursive descent, one token ahead."""

    def __init__(self, text: str, begin: int, end: int) -> None:
        self.text, self.at, self.end = text, begin, end
        self.token = self._next()

    def expression(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise self._wrong(f"expressions inside each other: takes {DEEPEST} at most")
        kind, text, position = self.token
        if kind == "number":
            return self._number()
        if kind == "string":
            self.token = self._next()
            return Literal(text[1:-1].replace("''", "'"), position)
        name = self.take("name", "", "a function, a number, a string, true, false or null")
        if name.text.casefold() in _CONSTANTS and self.token.text != "(":
            return Literal(_CONSTANTS[name.text.casefold()], position)
        return self._selections(Call(name.text, self._arguments(depth), position), depth)

    def _number(self) -> Literal:
        _, text, position = self.token
        whole = text.lstrip("+-").isdigit()
        if whole and (len(text) > len(str(LOWEST)) or not LOWEST <= int(text) <= HIGHEST):
            raise self._wrong(f"got {text}: takes integers of 64 bits")
        self.token = self._next()
        return Literal(int(text) if whole else float(text), position)

    def _arguments(self, depth: int) -> tuple[Node, ...]:
        self.take("mark", "(", "'('")
        found: list[Node] = []
        while self.token.text != ")" or found:
            found.append(self.expression(depth + 1))
            if self.token.text != ",":
                break
            self.take("mark", ",", "','")
        self.take("mark", ")", "')' or ','")
        return tuple(found)

    def _selections(self, node: Node, depth: int) -> Node:
        length = 0
        while self.token.kind == "select":
            mark = self.token
            self.token = self._next()
            if mark.text.endswith("."):
                name = self.take("name", "", "the name of a property")
                key: Node = Literal(name.text, name.position)
            else:
                key = self.expression(depth + 1)
                self.take("mark", "]", "']'")
            node = Select(node, key, mark.text.startswith("?"), mark.position)
            length += 1
            if length + depth > DEEPEST:
                raise self._wrong(f"selections after each other: takes {DEEPEST} at most")
        return node

    def take(self, kind: str, text: str, what: str) -> _Token:
        token = self.token
        if token.kind != kind or (text and token.text != text):
            raise self._wrong(f"got {token.text!r}: takes {what}" if token.text else f"it ends: takes {what}")
        if kind != "end":
            self.token = self._next()
        return token

    def _next(self) -> _Token:
        match = _TOKEN.match(self.text, self.at, self.end)
        if not match or not match.lastgroup:
            position = self.at + len(self.text[self.at : self.end]) - len(self.text[self.at : self.end].lstrip())
            raise ExpressionSyntaxError(f"got {self.text[position : position + 1]!r}", self.text, position)
        self.at = match.end()
        return _Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup))

    def _wrong(self, reason: str) -> ExpressionSyntaxError:
        return ExpressionSyntaxError(reason, self.text, self.token.position)
