"""Copies of files from one mount to another: by the store where it can, through this process where it cannot."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from fsspec import AbstractFileSystem

from airflow_ml_provider.core.errors import ServiceError, SpecError, Unavailable
from airflow_ml_provider.core.polling import backoff
from airflow_ml_provider.core.storage.faults import translated
from airflow_ml_provider.filesystems.matching import modified_at
from airflow_ml_provider.filesystems.mount import MountFileSystem, copies_itself

log = logging.getLogger(__name__)
T = TypeVar("T")
_BLOCK = 8 << 20
_TRIES = 8
_CHECKSUMS = ("ETag", "etag", "md5Hash", "crc32c")


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of one file: ``skipped`` was there already, as new and as large; ``by_store`` never came here."""

    path: str
    size: int
    skipped: bool = False
    by_store: bool = False


@dataclass(frozen=True)
class Copier:
    """Copies files; safe to repeat, and a repetition goes on where the last one was cut off.

    A passing fault of a store is waited out, some minutes for each file at most.

    :param overwrite: copy files that are there already too.
    :param verify: compare checksums of source and target after each copy.
    :param threads: files at once.
    """

    filesystem: MountFileSystem
    overwrite: bool = False
    verify: bool = True
    threads: int = 8

    def copy(self, source: str, target: str) -> Iterator[Copied]:
        """Copy a file, or every file below a folder. Paths without their scheme.

        :raises FileNotFoundError: there is no source.
        :raises ServiceError: a copy differs from its source.
        :raises Unavailable: a store does not answer.
        :raises AccessDenied: a connection may not read the source, or write the target.
        """
        yield from self._all(_insist(source, lambda: list(self._pairs(source, target))))

    def copy_each(self, targets: Mapping[str, str]) -> Iterator[Copied]:
        """Copy files, each to a path of its own. Otherwise as :meth:`copy`."""
        yield from self._all(
            [(_insist(source, partial(self.filesystem.info, source)), target) for source, target in targets.items()]
        )

    def _all(self, pairs: Sequence[tuple[dict[str, Any], str]]) -> Iterator[Copied]:
        with ThreadPoolExecutor(self.threads) as pool:
            yield from pool.map(lambda pair: _insist(pair[0]["name"], partial(self._copy_one, *pair)), pairs)

    def _pairs(self, source: str, target: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The info of each source file, and the path of its copy."""
        source, target = source.strip("/"), target.rstrip("/")
        if source == target or target.startswith(f"{source}/"):
            raise SpecError(f"target: got {target!r}, which lies in the source {source!r}: takes another folder")
        info = self.filesystem.info(source)
        if info["type"] == "file":
            yield info, target
            return
        for name, found in sorted(self.filesystem.find(source, detail=True).items()):
            if found["type"] == "file":
                yield found, target + name.removeprefix(source)

    def _copy_one(self, info: dict[str, Any], target: str) -> Copied:
        source, size = info["name"], int(info.get("size") or 0)
        if not self.overwrite and self._is_there(info, target):
            return Copied(target, size, skipped=True)
        read, write = self.filesystem.place(source), self.filesystem.place(target, writes=True)
        write.filesystem.makedirs(write.path.rpartition("/")[0], exist_ok=True)
        if _same_store(read.filesystem, write.filesystem):
            read.filesystem.cp_file(read.path, write.path)
            self._compare(source, target, digest=None)
            return Copied(target, size, by_store=True)
        self._compare(source, target, digest=self._stream(source, target))
        return Copied(target, size)

    def _is_there(self, info: dict[str, Any], target: str) -> bool:
        """Whether a copy is there that is as large as the source and no older."""
        try:
            found = self.filesystem.info(target)
        except FileNotFoundError:
            return False
        source_time, target_time = modified_at(info), modified_at(found)
        newer = source_time is None or target_time is None or target_time >= source_time
        return found["type"] == "file" and found.get("size") == info.get("size") and newer

    def _stream(self, source: str, target: str) -> str:
        """Copy through this process, and the SHA-256 of what was read. A store shows a file only once it is whole."""
        digest = hashlib.sha256()
        with self.filesystem.open(source, "rb") as read, self.filesystem.open_whole(target) as write:
            while block := read.read(_BLOCK):
                digest.update(block)
                write.write(block)
        return digest.hexdigest()

    def _compare(self, source: str, target: str, digest: str | None) -> None:
        if not self.verify:
            return
        if digest is None and _told(self.filesystem.info(source), self.filesystem.info(target)):
            return
        if (digest or self._digest(source)) != self._digest(target):
            raise ServiceError(f"{target} differs from {source}: copy it again")

    def _digest(self, path: str) -> str:
        digest = hashlib.sha256()
        with self.filesystem.open(path, "rb") as read:
            while block := read.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()


def _insist(place: str, call: Callable[[], T]) -> T:
    """Make a call that is safe to repeat, again after each passing fault of a store."""
    for fault in range(1, _TRIES):
        try:
            with translated(f"mount://{place}"):
                return call()
        except Unavailable as error:
            seconds = backoff(1.0, fault)
            log.warning("%s: trying again in %.1f s", error, seconds)
            time.sleep(seconds)
    with translated(f"mount://{place}"):
        return call()


def _told(source: dict[str, Any], target: dict[str, Any]) -> bool:
    """Whether the store itself says that two files have one content."""
    return source.get("size") == target.get("size") and any(
        source.get(name) is not None and source[name] == target.get(name) for name in _CHECKSUMS
    )


def _same_store(one: AbstractFileSystem, other: AbstractFileSystem) -> bool:
    """Whether one login opens both, so that the store can copy by itself."""
    if not copies_itself(one):
        return False
    return one is other or (type(one) is type(other) and one.storage_options == other.storage_options)
