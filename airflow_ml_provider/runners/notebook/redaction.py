"""Masks secrets in what a notebook shows.

Only exact forms are masked: the secret itself and its common encodings, as Databricks does. This is a guard against accidents:
whoever may run code with a secret can always show it in another form, such as one character a line.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any
from urllib.parse import quote, quote_plus, unquote

MASK = "[REDACTED]"
SHORTEST = 5
"""Shorter secrets are not masked, as in Airflow (``[logging] min_length_masked_secret``): they are parts of ordinary words."""
_SHORTEST_LINE = 8
_BASE64_LINE = 76
_SECRET_KEY = re.compile(
    r"(key|secret|password|passwd|passphrase|pass|pwd|token|signature|sig|credentials?|auth)$", re.IGNORECASE
)
_PASSWORD_OF_URI = re.compile(r"://[^/?#\s:@]*:([^/?#\s]+)@")
_SEPARATORS = (r";", r"[&?]", r"\s+")
_NO_SECRET_LINE = re.compile(r"-+(BEGIN|END) |[\w.\- ]{1,80}[=:]\s*[^=\s]")


class Redactor:
    """Masks every exact form of some secrets.

    :param secrets: a connection string, URI, JSON object or text of several lines is masked as a whole, and so is each secret
        part of it: see :func:`secret_parts`. Secrets of fewer than :data:`SHORTEST` characters are not masked.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        parts = {part for secret in secrets for part in secret_parts(secret) if len(part) >= SHORTEST}
        forms = {form for part in parts for form in _forms(part) if len(form) >= SHORTEST}
        self.active = bool(forms)
        self._pattern = re.compile(_alternatives(sorted(forms)))
        # A text of several lines is also masked line by line: only forms of one line may have their rest in a later chunk.
        self._lines = sorted(form for form in forms if "\n" not in form)
        self._longest = max(map(len, self._lines), default=0)

    def __call__(self, text: str) -> str:
        """Return the text with every secret in it masked."""
        return self._pattern.sub(MASK, text) if self.active else text

    def all(self, texts: list[str]) -> list[str]:
        """Mask secrets in many texts, also one that begins in one text and ends in a later one."""
        if not self.active:
            return texts
        whole, shift, changed = "".join(texts), 0, [""] * len(texts)
        spans = [match.span() for match in self._pattern.finditer(whole)]
        position = 0
        for number, text in enumerate(texts):
            end = shift + len(text)
            while position < len(spans) and spans[position][1] <= shift:
                position += 1
            at, pieces = shift, []
            for start, stop in spans[position:]:
                if start >= end:
                    break
                pieces += [whole[at : max(start, at)], MASK if start >= shift else ""]
                at = min(stop, end)
            changed[number] = "".join([*pieces, whole[at:end]])
            shift = end
        return changed

    def found_in(self, value: Any) -> bool:
        """Whether a text anywhere in a JSON value contains a secret, or a number is one."""
        if not self.active:
            return False
        if isinstance(value, str):
            return self._pattern.search(value) is not None
        if isinstance(value, dict):
            return any(map(self.found_in, (*value, *value.values())))
        if isinstance(value, list):
            return any(map(self.found_in, value))
        return self._pattern.fullmatch(str(value)) is not None

    def whole(self, text: str) -> int:
        """Return how many of the first characters can be masked now: the rest may be a part of a secret that goes on in a later text."""
        end = len(text) - self._held(text)
        if end < len(text):  # forms overlap: never cut one in two
            end = next((match.start() for match in self._pattern.finditer(text) if match.start() < end < match.end()), end)
        return end

    def _held(self, text: str) -> int:
        """How many of the last characters may be the beginning of a form."""
        tail = text[text.rfind("\n") + 1 :][-(self._longest - 1) :] if self._longest > 1 else ""
        for at in range(len(tail)):
            rest = tail[at:]
            place = bisect_left(self._lines, rest)
            if place < len(self._lines) and self._lines[place].startswith(rest):
                return len(rest)
        return 0

    def shortened(self, text: str, limit: int) -> str:
        """Return at most the first ``limit`` characters, masked. The cut leaves no part of a secret."""
        if len(text) <= limit:
            return self(text)
        return self(text[: self.whole(text[:limit])])


def secret_parts(secret: str) -> Iterator[str]:
    """Yield the secret and, of a structured one, the parts that are secret by themselves.

    These are: values whose key ends with a word such as ``key``, ``password``, ``token`` or ``sig`` in ``Key=Value;…`` strings,
    queries and JSON objects (``AccountKey``, but neither ``AccountName`` nor ``EndpointSuffix``); the password of a URI; and each
    line of a text with several lines, such as a private key.
    """
    yield secret
    try:
        yield from _of_json("", json.loads(secret)) if secret.lstrip().startswith("{") else _of_text(secret)
    except ValueError:
        yield from _of_text(secret)


def _of_json(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _of_json(name, item)
    elif isinstance(value, list):
        for item in value:
            yield from _of_json(key, item)
    elif isinstance(value, str):
        yield from secret_parts(value) if _SECRET_KEY.search(key) else _of_text(value)


def _of_text(text: str) -> Iterator[str]:
    yield from _and_unquoted(_PASSWORD_OF_URI.findall(text))
    for separator in _SEPARATORS:
        for piece in re.split(separator, text):
            key, _, value = piece.partition("=")
            if _SECRET_KEY.search(key.strip()):
                yield from _and_unquoted([value.strip().removesuffix(";").strip("\"'")])
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _SHORTEST_LINE and not _NO_SECRET_LINE.match(line))


def _and_unquoted(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield value
        yield unquote(value)


def _forms(secret: str) -> Iterator[str]:
    """Yield the secret as it is and as common encodings write it."""
    raw = secret.encode(errors="surrogatepass")
    yield secret
    yield from (raw.hex(), raw.hex().upper())
    for encoded in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield encoded
        yield re.sub("%..", lambda escape: escape[0].lower(), encoded)
    for ascii_only in (True, False):
        once = json.dumps(secret, ensure_ascii=ascii_only)
        yield once[1:-1]
        yield from (json.dumps(once, ensure_ascii=again)[3:-3] for again in (True, False))  # JSON in JSON
    yield from (repr(secret)[1:-1], repr(raw)[2:-1], shlex.quote(secret))
    yield from (html.escape(secret), html.escape(secret, quote=False))
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            yield _in_base64(encode, raw, before)
    yield from (line for line in base64.encodebytes(raw).decode().splitlines() if len(line) == _BASE64_LINE)


def _in_base64(encode: Any, raw: bytes, before: int) -> str:
    """The characters of Base64 that depend on the secret alone, when ``before`` bytes precede it in a group of three."""
    text = encode(b"\0" * before + raw).decode()
    first = -(-before * 8 // 6)
    last = (before + len(raw)) * 8 // 6
    return str(text[first:last])


def _alternatives(texts: list[str]) -> str:
    """The pattern that matches the longest of some sorted texts. Common beginnings are written once: a search is fast."""
    branches = []
    for _, group in groupby(filter(None, texts), key=lambda text: text[0]):
        members = list(group)
        pairs = zip(members[0], members[-1], strict=False)
        same = next((at for at, (one, other) in enumerate(pairs) if one != other), len(members[0]))
        prefix = members[0][:same]
        rest = [member[len(prefix) :] for member in members]
        more = _alternatives(rest)
        branches.append(re.escape(prefix) + (f"(?:{more}){'' if rest[0] else '?'}" if more else ""))
    return "|".join(branches)
