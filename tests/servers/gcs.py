"""A Google Cloud Storage server: fake-gcs-server, built with Go.

Hadoop's connector knows one address, ``https://storage.googleapis.com``. So a proxy on loopback leads JVMs that are told of it to the
server, and makes up for what the server has not, or takes in another form than Google.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.servers.golang import built
from tests.servers.process import LOOPBACK, free_ports, running
from tests.servers.tls import Tunnel, certificate, proxy
from tests.servers.tokens import TokenServer, bearer, token_server

_VERSION = "v1.56.1"
_HOST = "storage.googleapis.com"
_BATCH = (b"POST //batch/", b"POST /batch/")
"""How the connector's batches begin, and what the server, unlike Google, insists on."""
_MOVE = re.compile(rb"POST (?P<objects>/storage/v1(?P<bucket>/b/[^/]+)/o)/(?P<source>[^/]+)/moveTo/o/(?P<target>[^/?]+)")
_LOCATION = (b"\r\nLocation: http://", b"\r\nLocation: https://")
"""Where the server, which knows nothing of the proxy's TLS, has uploads go on."""


@dataclass(frozen=True)
class GoogleServer:
    """Where it is and what leads there.

    :param java_options: what a JVM needs to reach it.
    :param tokens: the service that signs the account in. The server itself takes any token.
    :param connection: the fields of an Airflow connection of type ``google_cloud_platform``.
    """

    port: int
    java_options: str
    tokens: TokenServer
    private_key: str

    @property
    def connection(self) -> dict[str, Any]:
        account = {"type": "service_account", "client_id": "1", "client_email": "test@localhost", "project_id": "test"}
        key = {"private_key": self.private_key, "private_key_id": "1", "token_uri": self.tokens.url}
        return {"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": account | key, "project": "test"}}

    def make(self, bucket: str) -> str:
        """A bucket, by name."""
        url = f"http://{LOOPBACK}:{self.port}/storage/v1/b?project=test"
        asked = urllib.request.Request(url, json.dumps({"name": bucket}).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(asked, timeout=30).close()
        return bucket


@contextmanager
def fake_gcs(*, token_seconds: int = 3600) -> Iterator[GoogleServer]:
    """A server of one's own that keeps everything in memory, gone at the end."""
    program = built("github.com/fsouza/fake-gcs-server", _VERSION)
    (port,) = free_ports(1)
    flags = {
        "scheme": "http",
        "host": LOOPBACK,
        "port": str(port),
        "backend": "memory",
        "log-level": "error",
        "public-host": _HOST,
        "external-url": f"https://{_HOST}",
    }
    command = [str(program), *(part for flag, value in flags.items() for part in (f"-{flag}", value))]
    with (
        certificate(_HOST) as shown,
        running(command, port),
        token_server(bearer(token_seconds)) as tokens,
        proxy(port, shown, _GoogleTunnel) as at,
    ):
        # The server closes connections that Java's client, which does not try a POST again, takes for open.
        yield GoogleServer(port, f"{shown.java_options(at)} -Dhttp.keepAlive=false", tokens, _private_key())


class _GoogleTunnel(Tunnel):
    def asked(self, block: bytes, client: ssl.SSLSocket, there: socket.socket) -> None:
        if move := _MOVE.match(block):
            client.sendall(self._move(**{name: part.decode() for name, part in move.groupdict().items()}))
        else:
            there.sendall(block.replace(*_BATCH, 1) if block.startswith(_BATCH[0]) else block)

    def answered(self, block: bytes) -> bytes:
        return block.replace(*_LOCATION, 1)

    def _move(self, objects: str, bucket: str, source: str, target: str) -> bytes:
        """The server knows no moves, by which the connector renames: they are a copy and a deletion."""
        server = f"http://{LOOPBACK}:{self.server.leads_to}"
        copy = f"{server}{objects}/{source}/rewriteTo{bucket}/o/{target}"
        with urllib.request.urlopen(urllib.request.Request(copy, b"", method="POST"), timeout=30) as answer:
            body = json.dumps(json.load(answer)["resource"]).encode()
        urllib.request.urlopen(urllib.request.Request(f"{server}{objects}/{source}", method="DELETE"), timeout=30).close()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def _private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.private_bytes(*form).decode()
