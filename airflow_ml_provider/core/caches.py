"""What is made once on this machine and kept: environments of Python, jars, archives of packages, class-data archives.

::

    <cache>/<kind>/<key>/          an entry: a folder that one process makes while the others wait
    <cache>/<kind>/<key>/.whole    its size; exists once the entry is complete, touched at each use
    <cache>/<kind>/<key>.lock      locked by the process that makes the entry, or removes it
    <cache>/<kind>/<key>.use       locked shared by each process that uses the entry, exclusively by the one that removes it
    <cache>/<key>.jsa, .jsa.use    a file that is kept in the same way

A process holds what it uses until it ends, also across ``exec``: a cluster can run from an environment for weeks. :func:`sweep` removes
what nobody holds and nobody has used for long, and the longest unused beyond the size limit.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_ml_provider.core.errors import CapacityError, ConfigurationError

log = logging.getLogger(__name__)
DAYS_VARIABLE, SIZE_VARIABLE = "AIRFLOW_ML_CACHE_DAYS", "AIRFLOW_ML_CACHE_GIB"
"""Settings of Airflow's processes: days unused after which an entry is removed, and the size of the whole."""
_DAYS, _GIB = 30.0, 20.0
_DAY, _OF_GIB = 24 * 3600.0, 1 << 30
WHOLE, _SWEPT = ".whole", ".swept"
_OWNER_ONLY = 0o700
_EVERY = 3600.0
_KINDS = ("python", "maven", "packages")
_FILES = "*.jsa"
_MAKING, _USE = ".lock", ".use"
_AT_ONCE = fcntl.LOCK_EX | fcntl.LOCK_NB
_held: dict[Path, int] = {}
_guard = threading.Lock()


def default_root() -> Path:
    """The folder on this machine for what the provider keeps there."""
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "spark"


@contextlib.contextmanager
def translated_errors(cache: Path) -> Iterator[None]:
    """The operating system's errors as ours."""
    try:
        yield
    except OSError as error:
        where = f"the cache {cache}: {error.strerror or error}: {error.filename or ''}".rstrip(": ")
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CapacityError(f"{where}: make room, or lower {SIZE_VARIABLE}") from error
        raise ConfigurationError(f"{where}: let this user write there") from error


def entry(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder, made first if need be. This process holds it from now on.

    :param make: fills the empty folder; a folder that it leaves with an error is made anew by the next one.
    """
    while not hold(folder, folder / WHOLE):
        with _locked(folder, _MAKING, fcntl.LOCK_EX):
            if not (folder / WHOLE).exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(mode=_OWNER_ONLY)
                make(folder)
                (folder / WHOLE).write_text(str(_size(folder)))
    return folder


def hold(path: Path, mark: Path | None = None) -> bool:
    """Keep what is kept from being removed while this process lives; False when it does not exist.

    :param mark: what exists with it and tells the last use; None for a file itself.
    """
    mark = mark or path
    with _guard:
        if path not in _held and mark.exists():
            _held[path] = _open_locked(path, _USE, fcntl.LOCK_SH)
            os.set_inheritable(_held[path], True)
        try:
            os.utime(mark)
        except FileNotFoundError:
            if path in _held:
                os.close(_held.pop(path))
            return False
        return True


@dataclass(frozen=True, slots=True)
class Limits:
    """What a cache may keep.

    :param days: since its last use.
    :param size: bytes of all.
    """

    days: float = _DAYS
    size: float = _GIB * _OF_GIB

    @classmethod
    def parse(cls, environ: Mapping[str, str]) -> Limits:
        """Read the settings; :class:`ConfigurationError` names a wrong one."""
        return cls(_number(environ, DAYS_VARIABLE, _DAYS), _number(environ, SIZE_VARIABLE, _GIB) * _OF_GIB)


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    used: float
    size: int


def sweep_at_times(cache: Path) -> None:
    """:func:`sweep`, at most once an hour, whichever process asks."""
    mark = cache / _SWEPT
    if not cache.is_dir():
        return
    limits = Limits.parse(os.environ)
    if not mark.exists():  # an earlier version, which noted no use, may have made what is here: it counts as used now
        mark.touch()
        for item in _all(cache):
            with contextlib.suppress(FileNotFoundError):
                os.utime(item.path / WHOLE if item.path.is_dir() else item.path)
    if time.time() - mark.stat().st_mtime >= _EVERY:
        mark.touch()
        sweep(cache, limits)


def sweep(cache: Path, limits: Limits) -> list[Path]:
    """Remove what is too old, then the longest unused until the rest fits the size limit; what is in use stays."""
    now = time.time()
    kept = sorted(_all(cache), key=lambda item: item.used)
    total = sum(item.size for item in kept)
    removed = []
    for item in kept:
        if (now - item.used > limits.days * _DAY or total > limits.size) and remove(item.path):
            total -= item.size
            removed.append(item.path)
    if removed:
        log.info("Removed %d unused entries of the cache %s: %.1f GiB are left", len(removed), cache, total / _OF_GIB)
    return removed


def remove(path: Path) -> bool:
    """Remove an entry unless somebody holds it or makes it."""
    try:
        with _locked(path, _MAKING, _AT_ONCE), _locked(path, _USE, _AT_ONCE):
            if path.is_dir():
                (path / WHOLE).unlink(missing_ok=True)
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            for suffix in (_MAKING, _USE):
                _lock_of(path, suffix).unlink(missing_ok=True)
    except BlockingIOError:
        return False
    except OSError as error:
        log.warning("%s could not be removed from the cache: %s", path, error)
        return False
    return True


def _all(cache: Path) -> Iterator[_Kept]:
    for kind in _KINDS:
        for folder in (cache / kind).glob("*/"):
            with contextlib.suppress(FileNotFoundError, ValueError):
                whole = folder / WHOLE
                if whole.exists():
                    yield _Kept(folder, whole.stat().st_mtime, int(whole.read_text() or _size(folder)))
                else:  # whoever made it was killed, unless it is being made
                    yield _Kept(folder, folder.stat().st_mtime, _size(folder))
    for file in cache.glob(_FILES):
        with contextlib.suppress(FileNotFoundError):
            found = file.stat()
            yield _Kept(file, found.st_mtime, found.st_size)


def _size(folder: Path) -> int:
    """Bytes on the disk, as far as they can be seen while others write."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total


def _lock_of(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}{suffix}")


@contextlib.contextmanager
def _locked(path: Path, suffix: str, how: int) -> Iterator[None]:
    handle = _open_locked(path, suffix, how)
    try:
        yield
    finally:
        os.close(handle)


def _open_locked(path: Path, suffix: str, how: int) -> int:
    """A lock of an entry, held until it is closed. A lock file that was removed meanwhile, with its entry, counts for nothing."""
    lock = _lock_of(path, suffix)
    lock.parent.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, how)
            if os.path.samestat(os.fstat(handle), lock.stat()):
                return handle
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "")
    try:
        found = float(text or default)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise ConfigurationError(f"{name}: expected a number of 0 or more, got {text!r}.")
    return found
