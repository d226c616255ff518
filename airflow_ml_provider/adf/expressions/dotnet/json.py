"""JSON as Json.NET reads and writes it: single quotes, bare names, comments, trailing commas, hexadecimal numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from airflow_ml_provider.adf.expressions.dotnet.numbers import write_float

DEEPEST = 64
LONGEST = 16 * 1024 * 1024
"""Characters of the longest text that is written."""

_SPACE = re.compile(r"(?:\s|/\*.*?\*/|//[^\n\r]*)*", re.DOTALL)
_WORD = re.compile(r"[^\s,:{}\[\]()'\"/]+")
_NAME = re.compile(r"[\w$]+")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "\\": "\\", '"': '"', "'": "'", "/": "/"}
_WORDS = {
    "true": True,
    "false": False,
    "null": None,
    "undefined": None,
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
}
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_RADIX = {16: re.compile(r"-?0[xX][0-9a-fA-F]{1,16}"), 8: re.compile(r"-?0[0-7]{1,21}", re.ASCII)}
_LONGEST_NUMBER = 380
_UNSAFE = re.compile('["\\\\\x00-\x1f\x85\u2028\u2029]')
_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def loads(text: str) -> Any:
    """The first value in a text; None for an empty one. What follows it is not looked at.

    :raises ValueError: with the reason and the position.
    """
    return _Reader(text).first()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def first(self) -> Any:
        return self.value(0) if self._peek() else None

    def value(self, depth: int) -> Any:
        if depth > DEEPEST:
            raise self._wrong(f"deeper than {DEEPEST}")
        mark = self._peek()
        if mark == "{":
            return self._object(depth)
        if mark == "[":
            return self._array(depth)
        return self._string(mark) if mark in _PLAIN else self._word()

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        while (mark := self._peek()) != "}":
            key = self._string(mark) if mark in _PLAIN else self._match(_NAME, "the name of a property")
            self._take(":", "':'")
            found[key] = self.value(depth + 1)
            if not self._goes_on("}"):
                return found
        self.at += 1
        return found

    def _array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self.at += 1
        while self._peek() != "]":
            found.append(self.value(depth + 1))
            if not self._goes_on("]"):
                return found
        self.at += 1
        return found

    def _goes_on(self, closing: str) -> bool:
        """Whether the closing bracket is still to come; a text that ends after a value closes its brackets, as in Json.NET."""
        mark = self._peek()
        if mark and mark not in (",", closing):
            raise self._wrong(f"got {mark!r} after a value")
        self.at += mark == ","
        return bool(mark)

    def _string(self, quote: str) -> str:
        parts = []
        self.at += 1
        while True:
            plain = _PLAIN[quote].match(self.text, self.at)
            assert plain
            parts.append(plain[0])
            self.at = plain.end() + 1
            if self.at > len(self.text):
                raise self._wrong("a string without its end")
            if self.text[self.at - 1] == quote:
                return "".join(parts)
            parts.append(self._escape())

    def _escape(self) -> str:
        mark = self.text[self.at : self.at + 1]
        self.at += 1
        if mark != "u":
            if mark not in _ESCAPES:
                raise self._wrong(f"got the escape \\{mark}")
            return _ESCAPES[mark]
        unit = self._hexadecimal()
        if 0xD800 <= unit < 0xDC00 and self.text.startswith("\\u", self.at):
            before, self.at = self.at, self.at + 2
            low = self._hexadecimal()
            if 0xDC00 <= low < 0xE000:
                return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
            self.at = before
        return "\ufffd" if 0xD800 <= unit < 0xE000 else chr(unit)

    def _hexadecimal(self) -> int:
        digits = self.text[self.at : self.at + 4]
        if not re.fullmatch("[0-9a-fA-F]{4}", digits):
            raise self._wrong(f"got the escape \\u{digits}")
        self.at += 4
        return int(digits, 16)

    def _word(self) -> Any:
        begin = self.at
        word = self._match(_WORD, "a value")
        if word in _WORDS:
            return _WORDS[word]
        for radix, form in _RADIX.items():
            if form.fullmatch(word):
                return int(word, radix) if radix == 16 else int(word.replace("0", "0o", 1), 8)
        if len(word) <= _LONGEST_NUMBER and _INTEGER.fullmatch(word):
            return int(word)
        if _FLOAT.fullmatch(word):
            return float(word)
        self.at = begin
        raise self._wrong(f"got {word[:20]!r}")

    def _match(self, form: re.Pattern[str], what: str) -> str:
        match = form.match(self.text, self.at)
        if not match:
            raise self._wrong(f"got {self.text[self.at : self.at + 1] or 'the end'!r} instead of {what}")
        self.at = match.end()
        return match[0]

    def _take(self, mark: str, what: str) -> None:
        if self._peek() != mark:
            raise self._wrong(f"got {self._peek() or 'the end'!r} instead of {what}")
        self.at += 1

    def _peek(self) -> str:
        space = _SPACE.match(self.text, self.at)
        assert space
        self.at = space.end()
        return self.text[self.at : self.at + 1]

    def _wrong(self, reason: str) -> ValueError:
        return ValueError(f"no JSON at its character {self.at}: {reason}")


def dumps(value: Any) -> str:
    """The value in one line without spaces.

    :raises ValueError: it is longer than :data:`LONGEST`, or too deep.
    """
    parts, length = [], 0
    for part in _write(value, 0):
        length += len(part)
        if length > LONGEST:
            raise ValueError(f"a text of more than {LONGEST} characters")
        parts.append(part)
    return "".join(parts)


def _write(value: Any, depth: int) -> Iterator[str]:
    if depth > 2 * DEEPEST:
        raise ValueError(f"deeper than {2 * DEEPEST}")
    if isinstance(value, dict):
        for number, (key, inner) in enumerate(value.items()):
            yield f"{',' if number else '{'}{_quoted(str(key))}:"
            yield from _write(inner, depth + 1)
        yield "}" if value else "{}"
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield "," if number else "["
            yield from _write(inner, depth + 1)
        yield "]" if value else "[]"
    else:
        yield _scalar(value)


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        text = write_float(value)
        return f'"{text}"' if not math.isfinite(value) else text if set(text) & {".", "E"} else f"{text}.0"
    return str(value) if isinstance(value, int) else _quoted(str(value))


def _quoted(text: str) -> str:
    return f'"{_UNSAFE.sub(_escaped, text)}"'


def _escaped(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or f"\\u{ord(match[0]):04x}"
