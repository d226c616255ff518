"""An S3 server that checks keys: SeaweedFS, a wheel of the dev group."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.process import LOOPBACK, free_ports, running

_PARTS = ("master", "volume", "filer", "s3")


@dataclass(frozen=True)
class S3Server:
    """Where it is and what opens it.

    :param connection: the fields of an Airflow connection of type ``aws``.
    """

    endpoint: str
    key: str = "canary-s3-key"
    secret: str = "canary-s3-secret"
    region: str = "us-east-1"

    @property
    def connection(self) -> dict[str, Any]:
        extra = {"endpoint_url": self.endpoint, "region_name": self.region}
        return {"conn_type": "aws", "login": self.key, "password": self.secret, "extra": extra}

    def client(self) -> Any:
        """A boto3 client."""
        import boto3

        keys = {"aws_access_key_id": self.key, "aws_secret_access_key": self.secret, "region_name": self.region}
        return boto3.client("s3", endpoint_url=self.endpoint, **keys)

    def make(self, bucket: str) -> str:
        """A bucket, by name."""
        self.client().create_bucket(Bucket=bucket)
        return bucket


@contextmanager
def seaweedfs() -> Iterator[S3Server]:
    """A server of one's own, gone at the end."""
    found = iter(free_ports(2 * len(_PARTS)))
    ports = {part: (next(found), next(found)) for part in _PARTS}
    s3 = ports["s3"][0]
    server = S3Server(f"http://{LOOPBACK}:{s3}")
    keys = [{"accessKey": server.key, "secretKey": server.secret}]
    allowed = {"identities": [{"name": "test", "credentials": keys, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        json.dump(allowed, config)
        config.flush()
        flags = [
            *(
                "-dir=.",
                f"-ip={LOOPBACK}",
                f"-ip.bind={LOOPBACK}",
                "-filer",
                "-s3",
                f"-s3.config={config.name}",
            ),
            *(
                f"-{name}.port{kind}={port}"
                for name, pair in ports.items()
                for kind, port in zip(("", ".grpc"), pair, strict=True)
            ),
            *(
                "-master.volumeSizeLimitMB=1024",
                "-volume.max=500",
                "-master.telemetry=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
            ),
        ]
        with running([str(Path(sys.prefix) / "bin" / "weed"), "server", *flags], s3):
            _until_it_writes(server)
            yield server


def _until_it_writes(server: S3Server) -> None:
    """It listens before its parts have found each other, and resets or refuses connections meanwhile."""
    from botocore.exceptions import BotoCoreError, ClientError

    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{server.endpoint}/status", timeout=5).close()
            with contextlib.suppress(ClientError):  # an earlier try has made it
                server.make("ready")
            server.client().put_object(Bucket="ready", Key="x", Body=b"x")
        except (OSError, BotoCoreError, ClientError):
            assert time.monotonic() < deadline, "SeaweedFS does not take writes"
            time.sleep(0.1)
        else:
            return
