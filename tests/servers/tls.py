"""A proxy on loopback that speaks TLS under the names of services in the cloud, for JVMs whose clients know no other address."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import select
import socket
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.process import LOOPBACK

_PASSWORD = "changeit"
_BLOCK = 1 << 16


class Certificate:
    """A certificate for some hosts and for loopback, in ``folder``: ``cert.pem``, ``key.pem`` and, for JVMs, ``trust.p12``."""

    def __init__(self, folder: Path, *hosts: str) -> None:
        self.folder = folder
        self.cert, self.key, self._trust = (folder / name for name in ("cert.pem", "key.pem", "trust.p12"))
        self._make(hosts)

    def java_options(self, proxy: int | None = None) -> str:
        """What has a JVM trust it, and go to all but loopback through a proxy."""
        found = {f"javax.net.ssl.{name}": value for name, value in self._store().items()}
        if proxy is not None:
            found |= {f"{scheme}.proxyHost": LOOPBACK for scheme in ("http", "https")}
            found |= {f"{scheme}.proxyPort": str(proxy) for scheme in ("http", "https")}
            found |= {"http.nonProxyHosts": "127.0.0.1|localhost"}
        return " ".join(f"-D{name}={value}" for name, value in found.items())

    def _store(self) -> dict[str, str]:
        return {"trustStore": str(self._trust), "trustStorePassword": _PASSWORD, "trustStoreType": "PKCS12"}

    def _make(self, hosts: tuple[str, ...]) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import pkcs12

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
        names = [*(x509.DNSName(host) for host in (*hosts, "localhost")), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        self.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        self.cert.write_bytes(made.public_bytes(pem))
        encryption = serialization.BestAvailableEncryption(_PASSWORD.encode())
        trusted = [pkcs12.PKCS12Certificate(made, b"server")]
        self._trust.write_bytes(pkcs12.serialize_java_truststore(trusted, encryption))


@contextmanager
def certificate(*hosts: str) -> Iterator[Certificate]:
    """One that is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="tls-") as folder:
        yield Certificate(Path(folder), *hosts)


class Tunnel(socketserver.StreamRequestHandler):
    """Wherever a client asks to be connected to, it is the server."""

    server: _Proxy

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        with (
            contextlib.suppress(OSError),  # a client that goes away
            self.server.tls.wrap_socket(self.connection, server_side=True) as client,
            socket.create_connection((LOOPBACK, self.server.leads_to)) as there,
        ):
            while True:
                ready: list[Any] = [client] if client.pending() else select.select([client, there], [], [])[0]
                for end in ready:
                    if not (block := end.recv(_BLOCK)):
                        return
                    if end is there:
                        client.sendall(self.answered(block))
                    else:
                        self.asked(block, client, there)

    def asked(self, block: bytes, client: ssl.SSLSocket, there: socket.socket) -> None:
        """Pass on what a client sent."""
        there.sendall(block)

    def answered(self, block: bytes) -> bytes:
        """What to tell the client of what the server sent."""
        return block


class _Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, leads_to: int, shown: Certificate, tunnel: type[Tunnel]) -> None:
        super().__init__((LOOPBACK, 0), tunnel)
        self.leads_to = leads_to
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(shown.cert, shown.key)


@contextmanager
def proxy(leads_to: int, shown: Certificate, tunnel: type[Tunnel] = Tunnel) -> Iterator[int]:
    """Lead every client to the server on a port of this machine, which speaks no TLS. Gives the proxy's port."""
    with _Proxy(leads_to, shown, tunnel) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
