"""Programs that the system lacks, from Debian's own packages: unpacked, not installed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.process import CACHE


def unpacked(package: str) -> Path:
    """A folder with the package and what it needs and the system lacks; one process at a time fetches it. Skips where it cannot."""
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip(f"install the package {package}")
    folder = CACHE / package
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _fetch(package, folder)
    return folder


def _fetch(package: str, folder: Path) -> None:
    made = folder.with_name(f"{package}.part")
    shutil.rmtree(made, ignore_errors=True)
    (made / "archives" / "partial").mkdir(parents=True)
    options = ["-y", "--no-install-recommends", "--download-only", "-o", f"Dir::Cache::archives={made / 'archives'}"]
    done = subprocess.run(
        ["apt-get", "install", *options, package], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False
    )
    if done.returncode:
        pytest.skip(f"Debian's package {package} cannot be fetched: install it")
    for archive in (made / "archives").glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(archive), str(made)], check=True, timeout=60)
        archive.unlink()
    made.rename(folder)
