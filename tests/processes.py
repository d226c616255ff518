"""What runs on this machine on behalf of a folder, for tests that show that nothing is left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil


def processes_of(folder: Path) -> list[psutil.Process]:
    """The living processes whose command line, environment or working directory names the folder."""
    return [process for process in psutil.process_iter() if _names(process, str(folder))]


def eventually(look: Callable[[], Any], *, within: float = 30.0) -> Any:
    """The first true answer; fails after ``within`` seconds with the last one."""
    deadline = time.monotonic() + within
    while True:
        began = time.monotonic()
        if found := look():
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {within:g} s"
        rest_after(began)


def rest_after(began: float) -> None:
    """Pause between two looks, the first of which began then: 20 ms at least, and three times as long as it took.

    A look at Airflow's API or at all processes takes a core's whole time. What the test waits for needs it.
    """
    time.sleep(max(0.02, 3 * (time.monotonic() - began)))


def listening(folder: Path) -> list[Any]:
    """The addresses, ``ip`` and ``port``, on which the folder's processes listen."""
    found = []
    for process in processes_of(folder):
        with contextlib.suppress(psutil.Error, FileNotFoundError):
            found += [item.laddr for item in process.net_connections(kind="inet") if item.status == psutil.CONN_LISTEN]
    return found


def assert_nothing_runs(folder: Path, *, within: float = 30.0) -> None:
    """Wait until no process of the folder is left; fails with their command lines."""
    deadline = time.monotonic() + within
    while True:
        began = time.monotonic()
        if not (left := processes_of(folder)):
            return
        assert time.monotonic() < deadline, [_command(process) for process in left]
        rest_after(began)


def _names(process: psutil.Process, folder: str) -> bool:
    if process.pid == psutil.Process().pid:
        return False
    told = []
    for look in (process.cmdline, process.environ, process.cwd):
        with contextlib.suppress(psutil.Error):
            told.append(str(look()))
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE and any(folder in text for text in told)
    return False


def _command(process: psutil.Process) -> str:
    try:
        return f"{process.pid}: {process.cmdline()}"
    except psutil.Error:
        return f"{process.pid}"
