"""An SFTP server on loopback, with a folder as its root and one user."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER, PASSWORD = "ann", "canary-sftp-password"


@dataclass(frozen=True)
class SftpServer:
    """Where it is, and what opens it.

    :param key: the private key that opens it too.
    :param host_key: of the server, as a line of known hosts has it.
    """

    port: int
    key: str
    host_key: str

    @property
    def source(self) -> str:
        return f"sftp://127.0.0.1:{self.port}/"

    @property
    def connection(self) -> dict[str, Any]:
        """The fields of an Airflow connection."""
        return {"conn_type": "sftp", "login": USER, "password": PASSWORD, "extra": {"host_key": self.host_key}}


@contextmanager
def sftp_server(folder: Path) -> Iterator[SftpServer]:
    """Serve a folder until the end."""
    import asyncssh

    key, host = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    loop = asyncio.new_event_loop()
    connections: list[asyncssh.SSHServerConnection] = []

    class Server(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            connections.append(conn)

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USER, PASSWORD)

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Server,
            server_host_keys=[host],
            authorized_client_keys=asyncssh.import_authorized_keys(key.export_public_key().decode()),
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(folder).encode()),
        )

    acceptor = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    kind, text, *_ = host.export_public_key().decode().split()
    try:
        yield SftpServer(acceptor.get_port(), key.export_private_key().decode(), f"{kind} {text}")
    finally:
        _let_go()
        asyncio.run_coroutine_threadsafe(_end(acceptor, connections), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _let_go() -> None:
    """Close the connections of this process, which it keeps for whoever asks for the same server again."""
    from sshfs import SSHFileSystem

    from airflow_ml_provider.hooks.stores import forget_store

    SSHFileSystem.clear_instance_cache()
    forget_store()
    gc.collect()


async def _end(acceptor: Any, connections: list[Any]) -> None:
    acceptor.close()
    for connection in connections:
        connection.abort()
    await asyncio.gather(acceptor.wait_closed(), *(connection.wait_closed() for connection in connections))
