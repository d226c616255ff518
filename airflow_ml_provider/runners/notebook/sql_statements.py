"""Splits a text of SQL into statements, as Spark's own lexer and its grammar of scripts read it. Pure.

Spark offers no such function: its shells cut at each semicolon, and a Spark Connect client has no parser. No library for SQL is sure to
be on a cluster, and none reads Spark's scripts (``BEGIN … END``), which have semicolons of their own.

This module knows of Spark's grammar only what tells where a script ends: the words that open a block at the beginning of a statement,
and that ``END`` at such a place closes the last one. The rest is left to Spark, errors included: a script, a quote or a comment that
does not end is one statement. A test compares all this with Spark's parser.

It also ships beside ``run_sql.py``: it runs on Python 3.9 with nothing but the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

# In this order: what begins first hides what looks like another token in it.
_TOKEN = re.compile(
    r"""(?P<comment>--(?:\\\n|[^\r\n])*)
    |(?P<open>/\*(?!\+))
    |(?P<quoted>(?<!\w)[rR](?:'[^']*(?:'|\Z)|"[^"]*(?:"|\Z))
        |'(?:\\.|[^'\\])*(?:'|\\?\Z)|"(?:\\.|[^"\\])*(?:"|\\?\Z)|`[^`]*(?:`|\Z)
        |\$(?P<tag>[A-Za-z]*)\$.*?\$(?P=tag)\$)
    |(?<![\w:)\]`"']):(?P<name>[A-Za-z_]\w*)
    |(?P<space>[\s\ufeff]+)
    |(?P<text>\w+|.)""",
    re.VERBOSE | re.DOTALL,
)
_EDGE = re.compile(r"/\*(?!\+)|\*/")
_BLOCKS = frozenset({"BEGIN", "LOOP", "REPEAT", "IF", "CASE", "WHILE", "FOR"})
_CLOSE = frozenset({"END", "UNTIL"})
_HEAD_ENDS = {"IF": "THEN", "ELSEIF": "THEN", "CASE": "THEN", "WHEN": "THEN", "WHILE": "DO", "FOR": "DO"}
"""By the word that begins a statement, the word after which the next statement begins."""
_NOTHING_BETWEEN = frozenset({"BEGIN", "NOT", "ATOMIC", "LOOP", "REPEAT", "ELSE", ":"})
"""After these at the beginning of a statement, another one begins at once. ``NOT ATOMIC`` follows ``BEGIN``."""


class Statement(NamedTuple):
    """One statement.

    :param text: from its first word to its last one, with the comments between.
    :param names: of its ``:name`` parameters.
    """

    text: str
    names: frozenset[str]


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


class _Script:
    """A script that has begun: its open blocks, and whether a statement begins at the next token."""

    def __init__(self) -> None:
        self.blocks = ["BEGIN"]
        self._begins = True
        self._head_end = ""
        self._brackets = self._cases = 0
        self._handler = False
        self._before = ""

    def take(self, word: str, after: str) -> None:
        """Take the next token; ``after`` is the one that follows it."""
        is_name, self._before = self._before == ".", word
        if word == ";":
            self._begins, self._head_end, self._handler = True, "", False
        elif self._begins:
            self._begin(word, after)
        elif self._head_end and not is_name:
            self._in_head(word)
        elif self._handler and word == "BEGIN":
            self._open(word)

    def _begin(self, word: str, after: str) -> None:
        if after == ":":
            return  # a label, also one with the name of a block
        self._begins = word in _NOTHING_BETWEEN
        self._head_end = _HEAD_ENDS.get(word, "")
        self._brackets = self._cases = 0
        self._handler = word == "DECLARE" and after in ("EXIT", "CONTINUE")
        if word in _BLOCKS:
            self._open(word)
        elif word in _CLOSE:
            self.blocks.pop()

    def _open(self, word: str) -> None:
        self.blocks.append(word)
        self._begins = word in _NOTHING_BETWEEN

    def _in_head(self, word: str) -> None:
        """Find the end of a condition or a query, not the ``THEN`` of a ``CASE`` expression in it."""
        self._brackets += (word == "(") - (word == ")")
        self._cases += (word == "CASE") - (word == "END" and self._cases > 0)
        if word == self._head_end and not self._brackets and not self._cases:
            self._begins, self._head_end = True, ""


def split(text: str) -> Iterator[Statement]:
    """The statements of a text. Comments alone are none, and neither is a byte order mark."""
    tokens = [*_tokens(text), _Token("text", ";", len(text), len(text))]  # a semicolon ends the last one
    statement: list[_Token] = []
    script: _Script | None = None
    for token, after in zip(tokens, chain(tokens[1:], tokens[-1:])):  # noqa: B905 - Python 3.9
        inside = script is not None and bool(script.blocks)
        if token.text == ";" and (not inside or token.start == len(text)):
            if statement:
                yield _statement(text, statement)
            statement, script = [], None
            continue
        if script is not None and inside:
            script.take(token.text, after.text)
        elif _opens_script(statement, token):
            script = _Script()
        statement.append(token)


def without_comments(text: str) -> str:
    """The tokens of a text with one blank between them."""
    return " ".join(text[token.start : token.end] for token in _tokens(text))


def _statement(text: str, tokens: list[_Token]) -> Statement:
    names = frozenset(token.text for token in tokens if token.kind == "name")
    return Statement(text[tokens[0].start : tokens[-1].end], names)


def _opens_script(statement: list[_Token], token: _Token) -> bool:
    """Whether a script begins: ``BEGIN`` as the first word, or as the body of a procedure."""
    words = [before.text for before in statement[:4]]
    return token.text == "BEGIN" and (not words or (words[0] == "CREATE" and "PROCEDURE" in words))


def _tokens(text: str) -> Iterator[_Token]:
    """The tokens that count: no space and no comment that ends. Words are in capitals."""
    at = 0
    while match := _TOKEN.match(text, at):
        start, at = at, match.end()
        if match.lastgroup == "open":
            at, closed = _after_comment(text, at)
            if not closed:
                yield _Token("quoted", text[start:], start, at)
        elif match["name"]:
            yield _Token("name", match["name"], start, at)
        elif match["quoted"]:
            yield _Token("quoted", match["quoted"], start, at)
        elif match["text"]:
            yield _Token("text", match["text"].upper(), start, at)


def _after_comment(text: str, at: int) -> tuple[int, bool]:
    """Where a comment that began before ``at`` ends, and whether it does. They nest; a hint (``/*+``) in one is text."""
    depth = 1
    while depth:
        edge = _EDGE.search(text, at)
        if edge is None:
            return len(text), False
        depth += 1 if edge[0] == "/*" else -1
        at = edge.end()
    return at, True
