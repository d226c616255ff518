"""A server as a child process on ports of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

LOOPBACK = "127.0.0.1"
CACHE = Path(__file__).parents[2] / ".cache"
"""Where servers that are no wheels are kept once they are fetched."""
_DIES_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])"  # 1: PR_SET_PDEATHSIG
)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, each another one."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for item in sockets:
            item.bind((LOOPBACK, 0))
        return [item.getsockname()[1] for item in sockets]


def answers(port: int) -> bool:
    """Whether somebody listens on the port."""
    with closing(socket.socket()) as client:
        client.settimeout(1)
        return client.connect_ex((LOOPBACK, port)) == 0


@contextmanager
def running(command: Sequence[str], port: int, *, env: Mapping[str, str] | None = None, within: float = 60.0) -> Iterator[Path]:
    """Run a server in an empty folder, which is given, until it listens on the port; killed and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="server-"))
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _DIES_WITH_PARENT, *command], cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + within
        while not answers(port):
            told = (folder / "server.log").read_text(errors="replace")[-2000:]
            assert process.poll() is None, f"{command[0]} ended: {told}"
            assert time.monotonic() < deadline, f"{command[0]} does not answer: {told}"
            time.sleep(0.05)
        yield folder
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
