"""PostgreSQL, from its wheel, behind a socket in a folder of its own."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgres() -> Iterator[str]:
    """Run a server; gives the folder of its socket, which is the host of a connection."""
    with pytest.MonkeyPatch.context() as environment:
        runtime = tempfile.mkdtemp(prefix="pg-run-")  # pgserver looks for one when it is imported
        environment.setenv("XDG_RUNTIME_DIR", runtime)
        import pgserver
    logging.getLogger("pgserver").setLevel(logging.CRITICAL)  # it tells of its end after the tests' output is closed

    folder = tempfile.mkdtemp(prefix="pg-")  # not below pytest's own, which the user of the server may not enter
    server = pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield folder
    finally:
        server.cleanup()
        for one in (folder, runtime):
            shutil.rmtree(Path(one), ignore_errors=True)
