"""Keeps secrets out of what a notebook shows, also when they are printed in pieces.

It is a guard against accidents. Whoever may run code with a secret can always show it in a disguise that nobody foresees.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

MASK = "[REDACTED]"
_GRAM = 6
_SHORTEST = 4
_TAG = re.compile(r"<[^<>]{0,200}>|\\[nrt]|&\w{1,8};")


class Redactor:
    """Masks each run of six or more characters of a secret, whatever stands between them.

    Looked for: the characters in their order or reversed, in any case, with anything but letters and digits between them (so also
    one a line), letters alone (so also one a line with a number), HTML tags between them; Base64, hexadecimal and URL forms.

    :param secrets: those of fewer than four characters are not looked for: they would blacken every page.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret for secret in secrets if len(secret) >= _SHORTEST}
        self._grams = [_grams(known, keep) for keep in _PROJECTIONS]
        self._exact = sorted({secret for secret in known if len(_plain(secret)) < _SHORTEST}, key=len, reverse=True)
        self.active = bool(known)

    def __call__(self, text: str) -> str:
        """The text with what is secret in it masked."""
        return self.all([text])[0]

    def all(self, texts: list[str]) -> list[str]:
        """The same of many texts, in which a secret may begin in one and go on in the next."""
        if not self.active or not any(texts):
            return texts
        whole = "".join(texts)
        marked = bytearray(len(whole))
        for start, end in self._found(whole):
            marked[start:end] = b"\x01" * (end - start)
        return list(_masked(texts, marked))

    def held(self, text: str) -> int:
        """How many of the last characters may be the beginning of a secret whose rest is still to come."""
        if not self.active:
            return 0
        longest = max((len(secret) for secret in self._exact), default=0)
        hold = min(longest, len(text))
        for keep, grams in zip(_PROJECTIONS, self._grams, strict=True):
            characters, places = keep(text)
            for size in range(min(_GRAM - 1, len(characters)), 0, -1):
                if any(gram.startswith(characters[-size:]) for gram in grams):
                    hold = max(hold, len(text) - places[-size])
                    break
        return hold

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        for secret in self._exact:
            for match in re.finditer(re.escape(secret), text):
                yield match.span()
        for keep, grams in zip(_PROJECTIONS, self._grams, strict=True):
            characters, places = keep(text)
            for size in {len(gram) for gram in grams}:
                for at in range(len(characters) - size + 1):
                    if characters[at : at + size] in grams:
                        yield places[at], places[at + size - 1] + 1


def _masked(texts: list[str], marked: bytearray) -> Iterator[str]:
    """Each text with every marked run in it replaced."""
    offset = 0
    for text in texts:
        flags = marked[offset : offset + len(text)]
        offset += len(text)
        yield "".join(MASK if run[0] else text[run[1] : run[2]] for run in _runs(flags))


def _runs(flags: bytearray) -> Iterator[tuple[bool, int, int]]:
    for match in re.finditer(rb"\x00+|\x01+", flags):
        yield match[0][0] == 1, match.start(), match.end()


def _project(text: str, keep_digits: bool) -> tuple[str, list[int]]:
    """The letters (and digits) of a text, in one case, and where each stands. Tags and escapes count as nothing."""
    skipped = bytearray(len(text))
    for match in _TAG.finditer(text):
        skipped[match.start() : match.end()] = b"\x01" * (match.end() - match.start())
    kept = [
        (character.lower()[:1], at)
        for at, character in enumerate(text)
        if not skipped[at] and (character.isalpha() or (keep_digits and character.isdigit()))
    ]
    return "".join(character for character, _ in kept), [at for _, at in kept]


def _letters_and_digits(text: str) -> tuple[str, list[int]]:
    return _project(text, keep_digits=True)


def _letters(text: str) -> tuple[str, list[int]]:
    return _project(text, keep_digits=False)


_PROJECTIONS = (_letters_and_digits, _letters)


def _plain(text: str) -> str:
    return _letters_and_digits(text)[0]


def _grams(secrets: set[str], keep: object) -> frozenset[str]:
    """Every piece of six characters (fewer of a shorter secret) of every form of every secret."""
    letters_only = keep is _letters
    grams: set[str] = set()
    for secret in secrets:
        for form in _forms(secret):
            characters = _project(form, keep_digits=not letters_only)[0]
            size = min(_GRAM, len(characters))
            if size < (_GRAM if letters_only else _SHORTEST):
                continue
            for order in (characters, characters[::-1]):
                grams |= {order[at : at + size] for at in range(len(order) - size + 1)}
    return frozenset(grams)


def _forms(secret: str) -> Iterator[str]:
    """The secret itself, and as common encodings show it. Base64 depends on what stands before: three ways."""
    raw = secret.encode()
    yield secret
    yield raw.hex()
    yield quote(secret, safe="")
    yield repr(secret)[1:-1]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        yield encoded[4 if before else 0 : -1]
