"""What a watcher remembers of the files that it has seen: little between two looks, and still less for a triggerer that starts later.

Between two looks a file is a number of 8 bytes, and for a watcher of deletions its compressed name. Nothing here waits: it is called in a
thread, in steps that hold the interpreter for milliseconds at most.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from array import array
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from airflow_ml_provider.filesystems.matching import Row

FILES, NAMES = "files", "names"
"""The keys under which Airflow keeps what :meth:`SeenFiles.to_keep` says."""
_NEWEST = 5_000
_NAMED_AT_MOST = 10_000
_BATCH = 10_000
_BYTES = 8


class Changes(NamedTuple):
    """What has changed between two looks.

    :param new: files that are new or have changed, the oldest first.
    :param gone: paths of files that were there, by their size then.
    """

    new: list[Row]
    gone: dict[str, int]


@dataclass(slots=True)
class SeenFiles:
    """The files of the last look.

    :param deletions: names are remembered too.
    """

    deletions: bool
    _states: array[int] | None = None
    _names: list[bytes] = field(default_factory=list)
    _after: float = -math.inf
    _digests: frozenset[bytes] | None = None

    @property
    def has_looked(self) -> bool:
        """Whether there was a look before."""
        return self._states is not None

    def restore(self, files: Any, names: Any) -> None:
        """Take up what an earlier triggerer kept. Does nothing where it kept nothing."""
        if isinstance(files, Mapping):
            text = b64decode(str(files["seen"]))
            self._digests = frozenset(text[at : at + _BYTES] for at in range(0, len(text), _BYTES))
            self._after = -math.inf if files["after"] is None else float(files["after"])
        if isinstance(names, Mapping):
            self._names = _packed({str(path): int(size) for path, size in names.items()})

    def update(self, files: Collection[Row]) -> Changes:
        """The changes since the last look, which this one becomes. At the first look of all no file is new."""
        states = array("q", map(hash, files))
        new = [] if self._states is None and self._digests is None else self._new(files, states)
        gone = self._gone(files) if self.deletions else {}
        self._states, self._digests = states, None
        if self.deletions:
            self._names = _packed({path: size for path, size, _ in files})
        return Changes(sorted(new, key=_modified), gone)

    def _new(self, files: Collection[Row], states: array[int]) -> list[Row]:
        if self._states is not None:
            before = set(self._states)
            return [file for file, state in zip(files, states, strict=True) if state not in before]
        seen = self._digests or frozenset()
        return [file for file in files if _modified(file) > self._after and _digest(file) not in seen]

    def _gone(self, files: Collection[Row]) -> dict[str, int]:
        here = {path for path, _, _ in files}
        return {path: size for path, size in _unpacked(self._names) if path not in here}


def to_keep(files: Collection[Row], *, deletions: bool) -> dict[str, Any]:
    """What a later triggerer must know to go on from here: bounded, whatever the number of files.

    The newest files are known one by one: a file that comes with the same second as the newest one, or that the store shows late, is new
    then. Older ones are known by their time. Of a second with more files than are kept, the others are told of twice.
    """
    newest = nlargest(_NEWEST + 1, files, key=_modified)
    after: float | None = None
    if len(newest) > _NEWEST:
        last = _modified(newest[-1])
        kept = [file for file in newest if _modified(file) > last]
        after, newest = (last, kept) if kept else (math.nextafter(last, -math.inf), newest[:-1])
    found: dict[str, Any] = {FILES: {"after": after, "seen": b64encode(b"".join(sorted(map(_digest, newest)))).decode()}}
    if deletions:
        found[NAMES] = {path: size for path, size, _ in files} if len(files) <= _NAMED_AT_MOST else {}
    return found


def _modified(file: Row) -> float:
    return file[2] or 0.0


def _digest(file: Row) -> bytes:
    """A file's state, the same in each process."""
    return hashlib.blake2b(repr(tuple(file)).encode(), digest_size=_BYTES).digest()


def _packed(names: Mapping[str, int]) -> list[bytes]:
    items = iter(names.items())
    return [zlib.compress(json.dumps(some).encode(), 1) for some in iter(lambda: dict(islice(items, _BATCH)), {})]


def _unpacked(packed: Collection[bytes]) -> Iterator[tuple[str, int]]:
    for some in packed:
        yield from json.loads(zlib.decompress(some)).items()
