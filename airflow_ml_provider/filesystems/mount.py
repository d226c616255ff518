"""``mount://<name>/…`` in Airflow's object storage, and in anything else that speaks fsspec, inside a task."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.hooks.mount import MountHook

schemes = ["mount"]
_SCHEME = "mount://"


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


class MountFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Every mount, each under its name. All work is the store's own filesystem's, with its caches and its parallel calls.

    :raises ConfigurationError: there is no such mount, or it cannot be opened.
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
        name, _, within = path.removeprefix(_SCHEME).strip("/").partition("/")
        store = self._opened.get(name) or self._open_store(name, path)
        if writes and store.read_only:
            raise OSError(errno.EROFS, f"{os.strerror(errno.EROFS)} (the mount {name!r} is read-only)", path)
        if ".." in within and isinstance(store.filesystem, LocalFileSystem) and ".." in within.split("/"):
            raise ConfigurationError(f"path: got {path!r}: takes one without '..', which could lead out of the mount")
        return _Place(name, store, f"{store.root}/{within}" if within else store.root or "/")

    def _open_store(self, name: str, path: str) -> _Store:
        if not name:
            raise ConfigurationError(f"path: got {path!r}: takes mount://<name>/…")
        hook = MountHook(name)
        filesystem = hook.filesystem
        root = filesystem._strip_protocol(hook.opened.path).rstrip("/")
        self._opened[name] = _Store(filesystem, root, hook.mount.read_only)
        return self._opened[name]

    cat_file, head, tail, sign = map(_reads, ("cat_file", "head", "tail", "sign"))
    exists, isfile, isdir, size = map(_reads, ("exists", "isfile", "isdir", "size"))
    created, modified, checksum, ukey, du = map(_reads, ("created", "modified", "checksum", "ukey", "du"))
    get, get_file = map(_reads, ("get", "get_file"))
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

    def glob(self, path: str, *args: Any, detail: bool = False, **kwargs: Any) -> Any:
        """The paths that match a pattern within one mount."""
        place = self.place(path)
        return _all_renamed(place, place.filesystem.glob(place.path, *args, detail=detail, **kwargs))

    def walk(self, path: str, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any, Any]]:
        """Folder, folders in it, files in it; from the top."""
        place = self.place(path)
        for folder, folders, files in place.filesystem.walk(place.path, *args, **kwargs):
            yield place.named(folder), folders, files

    def rm(self, path: str | Sequence[str], recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete a path, or several."""
        for one in [path] if isinstance(path, str) else path:
            place = self.place(one, writes=True)
            place.filesystem.rm(place.path, recursive=recursive, maxdepth=maxdepth)

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
        if source.store is target.store:
            source.filesystem.cp_file(source.path, target.path, **kwargs)
            return
        with source.filesystem.open(source.path, "rb") as read, target.filesystem.open(target.path, "wb") as write:
            while block := read.read(self.blocksize):
                write.write(block)

    def mv(self, path1: str, path2: str, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Move; within one mount by the store itself."""
        source, target = self.place(path1, writes=True), self.place(path2, writes=True)
        if source.store is target.store:
            source.filesystem.mv(source.path, target.path, recursive=recursive, maxdepth=maxdepth, **kwargs)
        else:
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **kwargs)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget listings."""
        for store in self._opened.values():
            store.filesystem.invalidate_cache()


def _renamed(place: _Place, info: Mapping[str, Any]) -> dict[str, Any]:
    return {**info, "name": place.named(info["name"])}


def _all_renamed(place: _Place, found: Any) -> Any:
    if isinstance(found, dict):
        return {place.named(name): _renamed(place, info) for name, info in found.items()}
    return [place.named(name) for name in found]
