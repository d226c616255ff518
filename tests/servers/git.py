"""Git servers on loopback: ``git http-backend`` behind a password, and an SSH server that takes one key."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN = "token-3b91-never-shown"


def git(folder: Path, *arguments: str) -> str:
    """Run Git in a folder, as an author whom no configuration of this machine knows."""
    who = {f"GIT_{role}_{what}": "test@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


@dataclass
class Repository:
    """A bare repository ``repo.git`` in a folder, and a work tree that pushes to it."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Repository:
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "repo.git")
        git(folder, "clone", "--quiet", "repo.git", "work")
        return cls(folder)

    def commit(self, branch: str = "main", **files: str) -> str:
        """Write files (``name__py`` is ``name.py``), push them, and return the commit."""
        work = self.folder / "work"
        git(work, "checkout", "--quiet", "-B", branch)
        for name, text in files.items():
            (work / name.replace("__", ".")).write_text(text)
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "--message", "change")
        git(work, "push", "--quiet", "--force", "origin", branch)
        return git(work, "rev-parse", "HEAD")

    def tag(self, name: str) -> None:
        """Push an annotated tag of what is checked out."""
        git(self.folder / "work", "tag", "--annotate", "--message", "t", name)
        git(self.folder / "work", "push", "--quiet", "origin", f"refs/tags/{name}")


@dataclass
class HttpServer:
    """A server of a folder's repositories.

    :param fetches: one entry for each pack that was sent.
    """

    url: str
    fetches: list[str] = field(default_factory=list)


@contextmanager
def http_server(folder: Path) -> Iterator[HttpServer]:
    """Serve the repositories to whoever has :data:`TOKEN`."""
    expected = "Basic " + base64.b64encode(f"user:{TOKEN}".encode()).decode()
    served = HttpServer("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if b"command=fetch" in body and b"want " in body:
                served.fetches.append(self.path)
            self._answer(body)

        do_POST = do_GET

        def _answer(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            env = {
                **os.environ,
                "GIT_PROJECT_ROOT": str(folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REMOTE_USER": "user",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
            head, _, rest = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(rest)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/repo.git"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def ssh_server(folder: Path) -> Iterator[tuple[int, str]]:
    """Serve the repositories by SSH: the port, and the private key that opens it."""
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    loop = asyncio.new_event_loop()

    async def answer(process: asyncssh.SSHServerProcess[bytes]) -> None:
        service, _, path = (process.command or "").partition(" ")
        protocol = {"GIT_PROTOCOL": str(process.env.get("GIT_PROTOCOL", ""))}
        if service != "git-upload-pack":
            process.exit(1)
            return
        child = await asyncio.create_subprocess_exec(
            *("git", "upload-pack", str(folder / path.strip("'").lstrip("/"))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **protocol},
        )
        asked = asyncio.create_task(_copy(process.stdin, child.stdin, close=True))
        await _copy(child.stdout, process.stdout)
        asked.cancel()
        process.exit(await child.wait())

    async def listen() -> asyncssh.SSHAcceptor:
        keys = asyncssh.import_authorized_keys(key.export_public_key().decode())
        host = asyncssh.generate_private_key("ssh-ed25519")
        options = {"authorized_client_keys": keys, "server_host_keys": [host], "process_factory": answer, "encoding": None}
        return await asyncssh.listen("127.0.0.1", 0, **options)

    acceptor = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield acceptor.get_port(), key.export_private_key().decode()
    finally:
        acceptor.close()
        asyncio.run_coroutine_threadsafe(acceptor.wait_closed(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _copy(source: Any, target: Any, *, close: bool = False) -> None:
    while data := await source.read(1 << 16):
        target.write(data)
        await target.drain()
    if close:
        target.close()
