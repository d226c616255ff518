"""The supervisor's end of the warm parent."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_ml_provider.backends.local.processes import spawn

MODULE = "airflow_ml_provider.backends.local.warm_parent"


class Forking:
    """A warm parent and the channel to it.

    :param env: of the parent; each job gets its own.
    :param log: where the parent's own words go.
    """

    def __init__(self, *, env: Mapping[str, str], log: Path, cwd: Path) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", MODULE, str(theirs.fileno())]
            self.process: subprocess.Popen[bytes] = spawn(command, env=env, log=log, cwd=cwd, keep=[theirs.fileno()])
        self._channel.setblocking(False)
        self._buffer = b""
        self.ready = False

    def fileno(self) -> int:
        """Readable when there are answers."""
        return self._channel.fileno()

    def ask(self, **request: Any) -> None:
        """Send one request. A parent that has died is noticed by its end, not here."""
        self._channel.setblocking(True)
        try:
            self._channel.sendall(json.dumps(request).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            self._channel.setblocking(False)

    def answers(self) -> list[dict[str, Any]]:
        """What has come since the last call."""
        try:
            data = self._channel.recv(1 << 16)
        except (BlockingIOError, ConnectionResetError):
            return []
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        found = [json.loads(line) for line in lines]
        self.ready = self.ready or any("ready" in answer for answer in found)
        return found

    def close(self) -> None:
        """Let the parent end."""
        self._channel.close()
