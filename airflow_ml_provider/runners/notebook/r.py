"""Runs R cells in one R process beside the notebook, which needs nothing but ``Rscript``."""

from __future__ import annotations

import ast
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import in_r
from .bridge import COMMANDS
from .errors import Missing
from .interpreters import Interpreter
from .outputs import show_until

if TYPE_CHECKING:
    from .session import Session


class R(Interpreter):
    """The R process of one notebook. It is told what to run by a socket of this machine; what it prints is taken from its output."""

    def __init__(self, session: Session, names: str) -> None:
        super().__init__(session, names)
        program = shutil.which("Rscript")
        if program is None:
            raise Missing("%r: there is no Rscript where the driver runs: install R")
        self._folder = Path(tempfile.mkdtemp(prefix="r-"))
        self._token = secrets.token_hex(16)
        self._printed = threading.Event()
        (self._folder / "names.r").write_text(names, encoding="utf-8")
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._process = self._spawned(program, server.getsockname()[1])
            self._line = self._accepted(server)
        self._tell(list(COMMANDS))

    def run(self, source: str) -> None:
        """Run a cell, and show what it prints, shows and draws."""
        cell = self._folder / "cell.r"
        cell.write_text(source, encoding="utf-8")
        self._printed.clear()
        self._tell(str(cell))
        while (heard := self._heard())[0] == "ask":
            command, arguments, named = heard[1:]
            self._tell(list(self.bridge.ask(command, arguments, dict(named))))  # R writes no names as an empty list
        self._printed.wait()
        if self.bridge.left:
            raise self.bridge.left
        if heard[1] is not None:
            raise RuntimeError(heard[1])

    def close(self) -> None:
        """End the process."""
        self._line.close()
        self._process.terminate()
        self._process.wait()
        self._reader.join(timeout=1.0)  # a process that it left in the background may have its output
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spawned(self, program: str, port: int) -> subprocess.Popen[bytes]:
        env = {"LC_ALL": "C.UTF-8", **os.environ, "NOTEBOOK_PORT": str(port), "NOTEBOOK_TOKEN": self._token}
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = subprocess.Popen([program, str(self._folder / "names.r")], env=env, **pipes)
        self._reader = threading.Thread(target=self._show, args=(process.stdout,), daemon=True)
        self._reader.start()
        return process

    def _accepted(self, server: socket.socket) -> Any:
        """The line to the process that knows the token."""
        server.settimeout(1.0)
        while self._process.poll() is None:
            try:
                line = server.accept()[0].makefile("rwb")
            except TimeoutError:
                continue
            if line.readline().decode().strip() == f'["{self._token}"]':
                return line
            line.close()
        raise RuntimeError(f"%r: Rscript ended with exit code {self._process.wait()} as it started: its words stand above")

    def _tell(self, value: Any) -> None:
        self._line.write(f"{in_r(value)}\n".encode())
        self._line.flush()

    def _heard(self) -> Any:
        if text := self._line.readline():
            return ast.literal_eval(text.decode())
        raise RuntimeError(f"%r: the R process ended with exit code {self._process.wait()} in this cell")

    def _show(self, stream: Any) -> None:
        with stream:
            show_until(f"\x1e{self._token}\n", stream, self.recorder, self._printed)
