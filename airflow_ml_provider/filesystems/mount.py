"""``mount://<name>/…`` in Airflow's object storage, and in anything else that speaks fsspec, inside a task.

In every path ``*`` and ``?`` stand for parts of a name and ``**`` for folders. ``[`` is a character as any other, unlike in fsspec's own
filesystems, which delete ``br1.txt`` when they are asked to delete ``br[1].txt``. A path with ``*`` or ``?`` that exists means itself.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem

from airflow_ml_provider.core.errors import ConfigurationError, SpecError
from airflow_ml_provider.hooks.mount import MountHook
from airflow_ml_provider.hooks.stores import is_usable

log = logging.getLogger(__name__)
schemes = ["mount"]
_SCHEME = "mount://"
_WILD = re.compile(r"[*?]")
_MAGIC = re.compile(r"[*?\[]")  # what the stores' own filesystems take for a pattern
_SEPARATORS = re.compile(r"[/\\]")  # some SFTP servers take both


def get_fs(conn_id: str | None, storage_options: Mapping[str, Any] | None = None) -> MountFileSystem:
    """The filesystem behind ``ObjectStoragePath("mount://…")``; a mount knows its connection and its options itself."""
    if conn_id or storage_options:
        raise ConfigurationError(f"mount://: got conn_id={conn_id!r}: a mount names its own connection: leave it out")
    return MountFileSystem()


class _Store(NamedTuple):
    """A mount's source.

    :param root: its path, without a slash at the end.
    """

    filesystem: AbstractFileSystem
    root: str
    read_only: bool


class _Place(NamedTuple):
    """A path in one mount.

    :param path: as the store's own filesystem calls it.
    """

    mount: str
    store: _Store
    path: str

    @property
    def filesystem(self) -> AbstractFileSystem:
        return self.store.filesystem

    def named(self, path: str) -> str:
        """A path of the store, as :class:`MountFileSystem` calls it."""
        return (self.mount + path[len(self.store.root) :]).rstrip("/")


def _reads(method: str) -> Callable[..., Any]:
    """The store's method, called for a path in it."""

    def call(self: MountFileSystem, path: str, *args: Any, **kwargs: Any) -> Any:
        place = self.place(path)
        return getattr(place.filesystem, method)(place.path, *args, **kwargs)

    return call


def _writes(method: str) -> Callable[..., Any]:
    """The same, for a method that changes the store."""

    def call(self: MountFileSystem, path: str, *args: Any, **kwargs: Any) -> Any:
        place = self.place(path, writes=True)
        return getattr(place.filesystem, method)(place.path, *args, **kwargs)

    return call


def check_inside(path: str) -> str:
    """The path; :class:`SpecError` when ``..`` in it could lead out of its mount.

    Every store refuses it alike. An object store may have a key with such a part, but clients and servers resolve it in the URL.
    Links in a folder or on an SFTP server are followed, as their file system does: who may make links there may lead out.
    """
    if ".." in path and ".." in _SEPARATORS.split(path):
        raise SpecError(f"path: got {path!r}: takes one without '..', which could lead out of the mount")
    return path


class MountFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Every mount, each under its name. All work is the store's own filesystem's, with its parallel calls and without its caches.

    :raises ConfigurationError: there is no such mount, or it cannot be opened.
    :raises SpecError: a path has a part ``..``.
    :raises OSError: ``EROFS`` for a change in a read-only mount.
    """

    protocol = "mount"
    root_marker = ""
    cachable = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._opened: dict[str, _Store] = {}

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """Without a leading slash too, which Airflow 3.1's universal-pathlib puts before a mount's name."""
        found = super()._strip_protocol(path)
        return found.lstrip("/") if isinstance(found, str) else found

    def place(self, path: str, *, writes: bool = False) -> _Place:
        """Where a path leads."""
        name, _, within = check_inside(path).removeprefix(_SCHEME).strip("/").partition("/")
        store = self._opened.get(name)
        if store is None or not is_usable(store.filesystem):
            store = self._open_store(name, path)
        if writes and store.read_only:
            raise OSError(errno.EROFS, f"{os.strerror(errno.EROFS)} (the mount {name!r} is read-only)", path)
        if not store.root:
            within = within.lstrip("/")  # a path of HDFS that begins with two slashes names another server
        return _Place(name, store, f"{store.root}/{within}" if within else store.root or "/")

    def reopen(self) -> None:
        """Open every mount anew when it is next used, with the connections as they are then."""
        for name in self._opened:
            MountHook(name).forget()
        self._opened.clear()

    def _open_store(self, name: str, path: str) -> _Store:
        if not name:
            raise ConfigurationError(f"path: got {path!r}: takes mount://<name>/…")
        hook = MountHook(name)
        filesystem = hook.filesystem
        root = filesystem._strip_protocol(hook.opened.path).rstrip("/")
        self._opened[name] = _Store(filesystem, root, hook.mount.read_only)
        return self._opened[name]

    cat_file, head, tail = map(_reads, ("cat_file", "head", "tail"))
    exists, isfile, isdir, size = map(_reads, ("exists", "isfile", "isdir", "size"))
    created, modified, checksum, ukey, du = map(_reads, ("created", "modified", "checksum", "ukey", "du"))
    get_file = _reads("get_file")
    pipe_file, touch, rm_file = map(_writes, ("pipe_file", "touch", "rm_file"))
    mkdir, makedirs, rmdir = map(_writes, ("mkdir", "makedirs", "rmdir"))

    def open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
        """The store's own file object."""
        place = self.place(path, writes=not set(mode).isdisjoint("wax+"))
        return place.filesystem.open(place.path, mode, *args, **kwargs)

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """What the store knows of one path."""
        place = self.place(path)
        return _renamed(place, place.filesystem.info(place.path, **kwargs))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """What lies in a folder: infos, or names without ``detail``."""
        place = self.place(path)
        found = place.filesystem.ls(place.path, detail=detail, **kwargs)
        return [_renamed(place, item) if detail else place.named(item) for item in found]

    def find(self, path: str, *args: Any, detail: bool = False, **kwargs: Any) -> Any:
        """Every file below a folder, in as few calls as the store allows."""
        place = self.place(path)
        return _all_renamed(place, place.filesystem.find(place.path, *args, detail=detail, **kwargs))

    def glob(self, path: str, maxdepth: int | None = None, *, detail: bool = False, **kwargs: Any) -> Any:
        """The paths that match a pattern within one mount, in which only ``*``, ``?`` and ``**`` are special."""
        if _WILD.search(path):
            return super().glob(escaped(check_inside(path)), maxdepth=maxdepth, detail=detail, **kwargs)
        found = {self._strip_protocol(path): self.info(path)} if self.exists(path) else {}
        return found if detail else list(found)

    def expand_path(
        self, path: Any, recursive: bool = False, maxdepth: int | None = None, assume_literal: bool = False, **kwargs: Any
    ) -> list[str]:
        """The paths that patterns stand for, or with ``recursive`` all that lies in folders."""
        found: set[str] = set()
        for one in map(self._strip_protocol, path if isinstance(path, (list, tuple, set)) else [os.fspath(path)]):
            if not assume_literal and self._is_pattern(check_inside(one)):
                matched = self.glob(one, maxdepth=maxdepth, **kwargs)
                found.update(matched)
                depth = maxdepth - 1 if maxdepth else None
                if recursive and matched and depth != 0:
                    found.update(self.expand_path(matched, True, depth, assume_literal=True, **kwargs))
                continue
            if recursive:
                found.update(self.find(one, maxdepth=maxdepth, withdirs=True, **kwargs))
            if not recursive or self.exists(one):
                found.add(one)
        if not found:
            raise FileNotFoundError(path)
        return sorted(found)

    def _is_pattern(self, path: str) -> bool:
        if not _WILD.search(path):
            return False
        try:
            self.info(path)
        except FileNotFoundError:
            return True
        return False

    def walk(self, path: str, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any, Any]]:
        """Folder, folders in it, files in it; from the top."""
        place = self.place(path)
        for folder, folders, files in place.filesystem.walk(place.path, *args, **kwargs):
            yield place.named(folder), folders, files

    def rm(self, path: str | Sequence[str], recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete a path, or several."""
        paths = [path] if isinstance(path, str) else list(path)
        for one in paths:
            self.place(one, writes=True)  # all are allowed before the first is gone
        for one in paths:
            for meant in self.glob(one) if self._is_pattern(one) else [one]:
                self._rm_one(self.place(meant, writes=True), recursive, maxdepth)

    def _rm_one(self, place: _Place, recursive: bool, maxdepth: int | None) -> None:
        filesystem = place.filesystem
        if not (_expands(filesystem) and _MAGIC.search(place.path)):
            filesystem.rm(place.path, recursive=recursive, maxdepth=maxdepth)
        elif recursive and filesystem.isdir(place.path):
            for file in filesystem.find(place.path, maxdepth=maxdepth):
                filesystem.rm_file(file)
        else:
            filesystem.rm_file(place.path)

    def get(self, rpath: Any, lpath: Any, recursive: bool = False, **kwargs: Any) -> Any:
        """Download: by the store's own filesystem in parallel, or one by one what it would take for a pattern."""
        if isinstance(rpath, str) and not _MAGIC.search(self.place(rpath).path):
            place = self.place(rpath)
            return place.filesystem.get(place.path, lpath, recursive=recursive, **kwargs)
        if isinstance(rpath, str) and isinstance(lpath, str) and not recursive and not self._is_pattern(rpath):
            name = rpath.rpartition("/")[2]
            lpath = f"{lpath.rstrip('/')}/{name}" if lpath.endswith("/") or Path(lpath).is_dir() else lpath
            return self.get_file(rpath, lpath, **kwargs)
        return super().get(rpath, lpath, recursive=recursive, **kwargs)

    def sign(self, path: str, expiration: int = 100, **kwargs: Any) -> Any:
        """A URL that opens a file without a login. One for something else than reading is a change."""
        place = self.place(path, writes=bool(kwargs))
        return place.filesystem.sign(place.path, expiration, **kwargs)

    def put(self, lpath: Any, rpath: str, *args: Any, **kwargs: Any) -> Any:
        """Upload."""
        place = self.place(rpath, writes=True)
        return place.filesystem.put(lpath, place.path, *args, **kwargs)

    def put_file(self, lpath: str, rpath: str, *args: Any, **kwargs: Any) -> Any:
        """Upload one file."""
        place = self.place(rpath, writes=True)
        return place.filesystem.put_file(lpath, place.path, *args, **kwargs)

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Copy one file: by the store itself within one mount, through this process from one to another."""
        source, target = self.place(path1), self.place(path2, writes=True)
        if source.store is target.store and copies_itself(source.filesystem):
            source.filesystem.cp_file(source.path, target.path, **kwargs)
            return
        with self.open(path1, "rb") as read, self.open_whole(path2) as write:
            while block := read.read(self.blocksize):
                write.write(block)

    @contextmanager
    def open_whole(self, path: str) -> Iterator[Any]:
        """A file to write, of which nothing is left after an error: fsspec closes it then, which uploads the part that was written."""
        try:
            with self.open(path, "wb") as write:
                yield write
        except BaseException:
            try:
                self.rm_file(path)
            except FileNotFoundError:
                pass
            except Exception as error:  # noqa: BLE001 - the first error is the one to tell of
                log.warning("A part of %s is left: %s", path, error)
            raise

    def mv(self, path1: str, path2: str, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Move; within one mount by the store itself."""
        source, target = self.place(path1, writes=True), self.place(path2, writes=True)
        filesystem = source.filesystem
        special = _expands(filesystem) and (_MAGIC.search(source.path) or _MAGIC.search(target.path))
        if source.store is target.store and not special:
            filesystem.mv(source.path, target.path, recursive=recursive, maxdepth=maxdepth, **kwargs)
        elif not recursive and not self._is_pattern(path1):
            self.cp_file(path1, path2, **kwargs)
            self.rm(path1)
        else:
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **kwargs)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget listings, of which stores are opened to keep none."""
        for store in self._opened.values():
            store.filesystem.invalidate_cache()


def escaped(pattern: str) -> str:
    """A pattern in which ``[`` stands for itself, as fsspec writes it."""
    return pattern.replace("[", "[[]")


def copies_itself(filesystem: AbstractFileSystem) -> bool:
    """Whether a store copies by itself. ``sshfs`` runs ``cp``, which a server that allows SFTP alone refuses."""
    return _library(filesystem) != "sshfs"


def _expands(filesystem: AbstractFileSystem) -> bool:
    """Whether ``rm`` and ``mv`` of a store's filesystem take names for patterns, as fsspec's generic ones do."""
    return _library(filesystem) in ("s3fs", "adlfs", "gcsfs")


def _library(filesystem: AbstractFileSystem) -> str:
    return type(filesystem).__module__.partition(".")[0]


def _renamed(place: _Place, info: Mapping[str, Any]) -> dict[str, Any]:
    return {**info, "name": place.named(info["name"])}


def _all_renamed(place: _Place, found: Any) -> Any:
    if isinstance(found, dict):
        return {place.named(name): _renamed(place, info) for name, info in found.items()}
    return [place.named(name) for name in found]
