"""Lines for IPython in Python cells: where they are, and how Python's names in a command are replaced. Pure.

Where IPython can be imported its own transformer reads the cells. This module stands in for it elsewhere, and on the machine that
reads a notebook to ship it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any, NamedTuple

CALL = "__line_magic__"
"""The name of the function that runs such a line."""
_COMMAND = re.compile(r"([^\S\n]*)([%!].*)", re.DOTALL)
_NEEDS_IPYTHON = re.compile(
    r"([^\S\n]*)([^\s=(#][^=(#\n]*=\s*[%!][A-Za-z./~$({].*|\?{1,2}[\w.*%]+|[\w.*%]+\?{1,2})\s*", re.DOTALL
)
_MARK = re.compile(r"\"\"\"|'''|[\"'#]|[(\[{]|[)\]}]")
_FIELD = re.compile(
    r"(?P<twice>\$\$(?=[\w.])|\{\{|\}\})|\$(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|(?P<code>\{[^{}]+\})|(?P<odd>[{}])"
)


class Piece(NamedTuple):
    """One logical line of Python, or one line for IPython with the lines that it goes on in.

    :param command: what IPython is to run, without its indentation; None for Python.
    """

    text: str
    command: str | None
    indent: str = ""


def pieces(source: str) -> Iterator[Piece]:
    """Take a cell apart. What is in a text or in brackets begins no line."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", source)
    at = 0
    while at < len(lines):
        start, reader = at, _Reader()
        is_command = _COMMAND.fullmatch(lines[at]) is not None
        while True:
            ends = not lines[at].endswith("\\\n") if is_command else reader.ends_after(lines[at])
            at += 1
            if ends or at == len(lines):
                break
        text = "".join(lines[start:at])
        match = _COMMAND.fullmatch(text) if is_command else _NEEDS_IPYTHON.fullmatch(text)
        yield Piece(text, match[2].replace("\\\n", " ").rstrip("\n"), match[1]) if match else Piece(text, None)


def python_of(source: str) -> str:
    """A cell's Python with its lines for IPython turned into calls; ``%%time`` and ``%%timeit`` run what follows."""
    source = re.sub(r"\A\s*%%(time|timeit)\b[^\n]*\n", "", source)
    return "".join(
        piece.text
        if piece.command is None
        else f"{piece.indent}{CALL}({piece.command!r})" + ("\n" if piece.text.endswith("\n") else "")
        for piece in pieces(source)
    )


def runs(source: str) -> Iterator[str]:
    """What follows ``%run`` in the lines of a Python cell."""
    for piece in pieces(source):
        if piece.command and (match := re.match(r"%run\s+(.+)", piece.command)):
            yield match[1]


class _Reader:
    """Whether Python's text or brackets are open at the end of a line."""

    def __init__(self) -> None:
        self._quote = ""
        self._depth = 0

    def ends_after(self, line: str) -> bool:
        """Take the next line; True when the logical line ends with it."""
        at = 0
        while match := self._next(line, at):
            at, mark = match.end(), match[0]
            if self._quote:
                self._quote = ""
            elif mark == "#":
                at = len(line)
            elif mark[0] in "\"'":
                self._quote = mark
            else:
                self._depth = max(0, self._depth + (1 if mark in "([{" else -1))
        goes_on = line.endswith("\\\n")
        if len(self._quote) == 1 and not goes_on:
            self._quote = ""  # only a text in three quotes goes on
        return not (self._quote or self._depth or goes_on)

    def _next(self, line: str, at: int) -> re.Match[str] | None:
        if not self._quote:
            return _MARK.search(line, at)
        return re.compile(rf"(?:\\.|(?!{self._quote})[^\\])*{self._quote}", re.DOTALL).match(line, at)


def expanded(command: str, names: Mapping[str, Any]) -> str:
    """A command with ``$name``, ``$name.attribute`` and ``{expression}`` replaced by their values, as IPython does.

    What Python does not know is left to the shell, as in ``$HOME`` and ``awk '{print $1}'``. IPython then leaves all of the command
    to it: here what Python knows is replaced nevertheless, because ``rm -rf $folder/*`` with an empty ``$folder`` removes everything.
    As in IPython, ``$$``, ``{{`` and ``}}`` stand for one character when Python knows everything else.
    """
    fields = list(_FIELD.finditer(command))
    values = [None if field["twice"] else _value(command, field, names) for field in fields]
    whole = all(field["twice"] or value is not None for field, value in zip(fields, values, strict=True))
    made, at = [], 0
    for field, value in zip(fields, values, strict=True):
        same = field[0][0] if field["twice"] and whole else field[0]
        made += [command[at : field.start()], same if value is None else value]
        at = field.end()
    return "".join([*made, command[at:]])


def _value(command: str, field: re.Match[str], names: Mapping[str, Any]) -> str | None:
    """What a field stands for; None when that is the shell's affair."""
    if field["code"]:
        return _evaluated(field["code"], names)
    if field["odd"]:
        return None
    if command.count("'", field.end()) % 2:
        return field[0]  # in single quotes
    parts = field["name"].split(".")
    for end in range(len(parts), 0, -1):
        if (known := _evaluated("{" + ".".join(parts[:end]) + "}", names)) is not None:
            return ".".join([known, *parts[end:]])
    return None


class _Evaluating(Formatter):
    """Formats ``{expression!conversion:format}`` with any expression."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        return eval(field_name, dict(kwargs)), field_name  # noqa: S307 - the notebook's own code


def _evaluated(field: str, names: Mapping[str, Any]) -> str | None:
    """The field's value as text; None when it is no Python, or Python does not know it."""
    try:
        return _Evaluating().vformat(field, (), names)
    except Exception:  # noqa: BLE001 - whatever an expression raises, it is the shell's
        return None
