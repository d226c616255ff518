"""Prepares what docker-compose.yaml's services expect: Airflow's tables and connections, and the buckets. Safe to repeat."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import boto3

SECRETS = Path("/secrets")
BUCKETS = ("flights", "mlflow")


def airflow(*command: str) -> None:
    """An ``airflow`` command that must succeed."""
    subprocess.run([sys.executable, "-m", "airflow", *command], check=True)


def make_buckets(endpoint: str) -> None:
    """Make the buckets that are not there yet."""
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in BUCKETS:
        if name not in there:
            client.create_bucket(Bucket=name)


if __name__ == "__main__":
    if not urlsplit(sys.argv[1]).netloc:
        sys.exit(f"got {sys.argv[1]!r}: takes the address of the S3 server")
    airflow("db", "migrate")
    airflow("connections", "import", str(SECRETS / "connections.json"))
    make_buckets(sys.argv[1])
