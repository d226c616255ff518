"""Processes that end with their parent, and trees of them that end as a whole. Linux only."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

JOB_MARK = "AIRFLOW_ML_JOB"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)
_PAUSE = 0.02


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process the signal when its parent dies."""
    _prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none gets lost."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def spawn(
    command: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path, keep: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own that dies with this one; both its outputs go to ``log``."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=keep,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )


def descendants() -> list[psutil.Process]:
    """Every living process below this one."""
    return [process for process in psutil.Process().children(recursive=True) if _lives(process)]


def of_job(job: str, root: int) -> list[psutil.Process]:
    """The living processes of a job: its first one, what is below it or in its session, and what carries its mark."""
    mine = descendants()
    below = {root} | {process.pid for process in mine if root in _ancestors(process)}
    return [process for process in mine if process.pid in below or _session(process) == root or _carries(process, job)]


def end_all(find: Callable[[], list[psutil.Process]], *, grace: float = 0.0, limit: float = 30.0) -> bool:
    """Kill what ``find`` finds until it finds nothing. False after ``limit`` seconds.

    :param grace: seconds between SIGTERM and SIGKILL; with 0, SIGKILL at once.
    """
    begun = time.monotonic()
    if grace:
        _send(find(), signal.SIGTERM)
    while found := find():
        waited = time.monotonic() - begun
        if waited > limit:
            return False
        if waited >= grace:
            _send(found, signal.SIGKILL)
        reap()
        time.sleep(_PAUSE)
    return True


def reap() -> dict[int, int]:
    """Collect the ended children: exit code by process id, negative for a signal."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def machine_mib() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux" and _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def _send(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _ancestors(process: psutil.Process) -> set[int]:
    try:
        return {parent.pid for parent in process.parents()}
    except psutil.NoSuchProcess:
        return set()


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except (ProcessLookupError, PermissionError):
        return 0


def _carries(process: psutil.Process, job: str) -> bool:
    try:
        return bool(process.environ().get(JOB_MARK) == job)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
