"""An Azure Blob server: Azurite, fetched once from npm at a pinned version. ABFS reaches it through its Blob endpoint."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers.process import CACHE, LOOPBACK, free_ports, running
from tests.servers.tls import Certificate

_VERSION = "3.35.0"
_FLAGS = ("--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry")


@dataclass(frozen=True)
class BlobServer:
    """Where it is and what opens it.

    :param verify: the certificate that it shows, where it speaks TLS.
    :param connection: the fields of an Airflow connection of type ``wasb``.
    """

    endpoint: str
    account: str = "canaryaccount"
    verify: str | bool = True
    key: str = "Y2FuYXJ5LWF6dXJlLWtleS1jYW5hcnktYXp1cmUta2V5"

    @property
    def connection(self) -> dict[str, Any]:
        return {"conn_type": "wasb", "login": self.account, "password": self.key, "host": self.endpoint, "extra": {}}

    def client(self) -> Any:
        """A client of the Blob service."""
        from azure.storage.blob import BlobServiceClient

        credential = {"account_name": self.account, "account_key": self.key}
        return BlobServiceClient(self.endpoint, credential=credential, connection_verify=self.verify)

    def make(self, container: str) -> str:
        """A container, by name."""
        with self.client() as client:
            client.create_container(container)
        return container


@contextmanager
def azurite(shown: Certificate | None = None) -> Iterator[BlobServer]:
    """A server of one's own, gone at the end. Skips the test where there is no Node.js to run it.

    :param shown: has it speak TLS, and take tokens that have not expired.
    """
    if not shutil.which("npm"):
        pytest.skip("Azurite needs Node.js, and npm is not on PATH")
    program = _fetched()
    (port,) = free_ports(1)
    server = BlobServer(
        f"{'https' if shown else 'http'}://{LOOPBACK}:{port}/{BlobServer.account}", verify=str(shown.cert) if shown else True
    )
    tls = ["--oauth", "basic", "--cert", str(shown.cert), "--key", str(shown.key)] if shown else []
    preload = f"--require={Path(__file__).with_name('azure_order.js')}"
    env = {**os.environ, "AZURITE_ACCOUNTS": f"{server.account}:{server.key}", "NODE_OPTIONS": preload}
    with running([str(program), "--blobHost", LOOPBACK, "--blobPort", str(port), *_FLAGS, *tls], port, env=env):
        yield server


def _fetched() -> Path:
    """The program, installed if it is not there; one process at a time does so."""
    folder = CACHE / f"azurite-{_VERSION}"
    program = folder / "node_modules" / ".bin" / "azurite-blob"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "azurite.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
            subprocess.run(["npm", "install", "--prefix", str(folder), *flags, f"azurite@{_VERSION}"], check=True, timeout=600)
    return program
