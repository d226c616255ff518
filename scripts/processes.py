"""Processes of a stack: started in sessions of their own, and found again whoever their parent is now."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def spawn(command: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path) -> subprocess.Popen[bytes]:
    """Start a process that ends when this one does, its output at the end of ``log``."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509
        )


def tree(pid: int) -> list[psutil.Process]:
    """The process and everything below it; nothing when it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def of_home(home: Path) -> list[psutil.Process]:
    """Every process of the Airflow in this folder, and of the clusters that it made, but this one and what started it."""
    own = {process.pid for process in (psutil.Process(), *psutil.Process().parents())}
    return [process for process in psutil.process_iter() if process.pid not in own and _is_of(process, home)]


def _is_of(process: psutil.Process, home: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get("AIRFLOW_HOME") == str(home):
            return True
        spark = process.name().startswith(("java", "python", "sh"))
        return spark and any(f"{home / 'spark'}{os.sep}" in text for text in process.cmdline())
    except psutil.Error:
        return False


def end(processes: Iterable[psutil.Process], patience: float) -> None:
    """Ask the processes to end, wait, and kill those that did not."""
    processes = list(processes)
    _send(processes, signal.SIGTERM)
    _, left = psutil.wait_procs(processes, timeout=patience)
    _send(left, signal.SIGKILL)
    psutil.wait_procs(left, timeout=10)


def _send(processes: Iterable[psutil.Process], what: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(what)
        except psutil.NoSuchProcess:
            continue


def end_on_signals() -> None:
    """Treat a request to end, or a terminal that closes, like Ctrl-C."""
    for what in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(what, signal.default_int_handler)


def free_port(wanted: int = 0) -> int:
    """The loopback port that is wanted when it is free, or else any that is."""
    for port in dict.fromkeys((wanted, 0)):
        with socket.socket() as found:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(found.getsockname()[1])
    raise RuntimeError("no port is free on 127.0.0.1")


def wait_until(what: str, ready: Callable[[], bool], timeout: float, interval: float = 0.1) -> None:
    """Call ``ready`` until it answers true; :class:`TimeoutError` names ``what``."""
    end_at = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > end_at:
            raise TimeoutError(f"{what} was not ready after {timeout:.0f} s")
        time.sleep(interval)
