"""An S3 server that keeps empty folders away, as S3 does: MinIO, built with Go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.golang import built
from tests.servers.process import LOOPBACK, free_ports, running
from tests.servers.seaweedfs import S3Server

_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"


@contextmanager
def minio() -> Iterator[S3Server]:
    """A server of one's own, gone at the end."""
    program = built("github.com/minio/minio", _VERSION)
    (port,) = free_ports(1)
    server = S3Server(f"http://{LOOPBACK}:{port}")
    env = {**os.environ, "MINIO_ROOT_USER": server.key, "MINIO_ROOT_PASSWORD": server.secret, "MINIO_BROWSER": "off"}
    with running([str(program), "server", ".", "--quiet", "--address", f"{LOOPBACK}:{port}"], port, env=env):
        yield server
