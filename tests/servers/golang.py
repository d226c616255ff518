"""Servers that are written in Go, built once at a pinned version."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.servers.process import CACHE

_LIMIT = 1800.0


def built(module: str, version: str) -> Path:
    """The program of a module, built if it is not there; one process at a time does so. Skips the test where there is no Go.

    What the build needs, some gigabytes, is gone afterwards.
    """
    if not shutil.which("go"):
        pytest.skip(f"{module} is built with Go, and go is not on PATH")
    name = module.rpartition("/")[2]
    program = CACHE / f"{name}-{version}" / name
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            with tempfile.TemporaryDirectory(prefix="go-") as folder:
                places = {"GOPATH": f"{folder}/go", "GOCACHE": f"{folder}/cache", "GOBIN": str(program.parent)}
                env = {**os.environ, **places, "GOFLAGS": "-modcacherw", "CGO_ENABLED": "0"}
                flags = ["-trimpath", "-ldflags=-s -w"]
                subprocess.run(["go", "install", *flags, f"{module}@{version}"], env=env, check=True, timeout=_LIMIT)
    return program
