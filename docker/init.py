"""Prepares what docker-compose.yaml's services expect: Airflow's tables and connections, buckets and a container. Safe to repeat."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
from azure.storage.blob import BlobServiceClient

SECRETS = Path("/secrets")
BUCKETS = ("flights", "mlflow")
CONTAINER = "flights"


def airflow(*command: str) -> None:
    """An ``airflow`` command that must succeed."""
    subprocess.run([sys.executable, "-m", "airflow", *command], check=True)


def make_buckets(connection: dict[str, Any]) -> None:
    """Make the buckets that are not there yet."""
    client = boto3.client(
        "s3",
        endpoint_url=connection["extra"]["endpoint_url"],
        region_name=connection["extra"]["region_name"],
        aws_access_key_id=connection["login"],
        aws_secret_access_key=connection["password"],
    )
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in BUCKETS:
        if name not in there:
            client.create_bucket(Bucket=name)


def make_container(connection: dict[str, Any]) -> None:
    """Make the container if it is not there yet."""
    login = {"account_name": connection["login"], "account_key": connection["password"]}
    with BlobServiceClient(connection["host"], credential=login) as client:
        found = client.get_container_client(CONTAINER)
        if not found.exists():
            found.create_container()


if __name__ == "__main__":
    file = SECRETS / "connections.json"
    connections = json.loads(file.read_text())
    airflow("db", "migrate")
    airflow("connections", "import", str(file))
    make_buckets(connections["aws_default"])
    make_container(connections["wasb_default"])
