"""Exports that were read before, in a folder on disk: each task is a process of its own and would read the whole export again."""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import sys
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from airflow_ml_provider.adf.export.loader import json_files, load
from airflow_ml_provider.adf.model import Factory, PackedPipelines

log = logging.getLogger(__name__)
_ENTRIES = 32
_BROKEN = (pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError, KeyError, TypeError, ValueError)
"""What unpickling raises for bytes that are not a pickle of this version, by the documentation of ``pickle``."""
_CODE = Path(__file__).parents[1]


def load_cached(path: Path) -> Factory:
    """Load an export, or take it from the cache where no file of it and no module of the importer has changed.

    The cache is a folder below the system's temporary folder that only its user can open. Without such a folder, nothing is cached.

    :raises DocumentError: there is nothing at ``path``.
    """
    return _loaded(path, _digest(path))


@lru_cache(maxsize=8)
def _loaded(path: Path, digest: str) -> Factory:
    try:
        entry = _folder() / f"{digest}.pickle"
        if entry.exists():
            return _read(entry)
    except (OSError, *_BROKEN) as error:
        log.warning("Cannot read the cache of %s, loading the export itself: %s", path, error)
    factory = load(path)
    try:
        _write(_folder(), digest, factory)
    except OSError as error:
        log.warning("Cannot cache %s, each task loads the whole export: %s", path, error)
    return factory


def _digest(path: Path) -> str:
    """Return what changes with the place of the export, with any of its files, and with the importer."""
    digest = hashlib.sha256(f"{sys.version}\0{path}\0{_code_version()}".encode())
    for file in json_files(path) if path.exists() else ():
        data = file.read_bytes() if os.access(file, os.R_OK) else b""
        digest.update(f"{file}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _code_version() -> str:
    states = [(str(file), file.stat()) for file in sorted(_CODE.rglob("*.py"))]
    return repr([(name, state.st_size, state.st_mtime_ns) for name, state in states])


def _folder() -> Path:
    """Return the cache's folder. Unpickling runs code, so nobody else may be able to write there.

    :raises PermissionError: the folder belongs to another user, or others may write into it.
    """
    folder = Path(tempfile.gettempdir(), f"airflow-ml-adf-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if folder.is_symlink() or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise PermissionError(f"{folder}: expected a folder of user {os.getuid()} with mode 0700")
    return folder


def _read(entry: Path) -> Factory:
    factory: Factory = pickle.loads(entry.read_bytes())  # noqa: S301 - nobody else can write into the folder
    os.utime(entry)
    return factory


def _write(folder: Path, digest: str, factory: Factory) -> None:
    descriptor, name = tempfile.mkstemp(dir=folder, suffix=".part")
    with os.fdopen(descriptor, "wb") as file:
        packed = replace(factory, pipelines=PackedPipelines(factory.pipelines))
        pickle.dump(packed, file, protocol=pickle.HIGHEST_PROTOCOL)
    Path(name).replace(folder / f"{digest}.pickle")
    entries = sorted(folder.glob("*.pickle"), key=os.path.getmtime, reverse=True)
    for old in entries[_ENTRIES:]:
        old.unlink(missing_ok=True)
