"""``fusermount3``, where the system lacks it."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.servers.debian import unpacked


def path_with_fuse() -> str:
    """A PATH that leads to ``fusermount3``. Skips the test where there is no FUSE, or no way to have the program."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse is not there for this user")
    if shutil.which("fusermount3"):
        return os.environ["PATH"]
    found = next(path.parent for path in unpacked("fuse3").rglob("fusermount3") if path.is_file())
    return f"{found}{os.pathsep}{os.environ['PATH']}"
