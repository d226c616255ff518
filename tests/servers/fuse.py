"""``fusermount3``, where the system lacks it: from Debian's own package, unpacked and not installed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.process import CACHE


def path_with_fuse() -> str:
    """A PATH that leads to ``fusermount3``. Skips the test where there is no FUSE, or no way to have the program."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is not there for this user")
    if shutil.which("fusermount3"):
        return os.environ["PATH"]
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip("fusermount3 is not on PATH: install the package fuse3")
    return f"{_fetched()}{os.pathsep}{os.environ['PATH']}"


def _fetched() -> Path:
    """The folder of the program, fetched if it is not there; one process at a time does so."""
    folder = CACHE / "fuse3"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "fuse3.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bin" / "fusermount3").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            done = subprocess.run(["apt-get", "download", "fuse3"], cwd=folder, capture_output=True, timeout=60, check=False)
            if done.returncode:
                pytest.skip("fusermount3 is not on PATH, and Debian's package fuse3 cannot be fetched: install it")
            (package,) = folder.glob("fuse3_*.deb")
            subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True, timeout=60)
    return next(path.parent for path in folder.rglob("fusermount3") if path.is_file())
