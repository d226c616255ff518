"""Generates what docker-compose.yaml's services need to know of each other, once: later starts find it and leave it.

``make_secrets.py FOLDER``. Everything in the folder is readable by its owner alone.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from pathlib import Path

ACCOUNT = "lakeaccount"
"""The storage account of the Blob server."""


def files() -> dict[str, str]:
    """Name to content, with fresh secrets."""
    database, key, secret = (secrets.token_urlsafe(24) for _ in range(3))
    blob_key = base64.b64encode(os.urandom(64)).decode()
    return {
        "postgres_password": database,
        "sql_alchemy_conn": f"postgresql+psycopg2://airflow:{database}@postgres/airflow",
        "mlflow_backend": f"postgresql+psycopg2://airflow:{database}@postgres/mlflow",
        "fernet_key": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "api_secret_key": secrets.token_hex(32),
        "jwt_secret": secrets.token_hex(64),
        "passwords.json": json.dumps({"admin": secrets.token_urlsafe(12)}),
        "aws_credentials": f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n",
        "s3.json": json.dumps(s3_identities(key, secret)),
        "azurite_accounts": f"{ACCOUNT}:{blob_key}",
        "connections.json": json.dumps(connections(key, secret, blob_key), indent=2),
    }


def s3_identities(key: str, secret: str) -> dict[str, object]:
    """The users of the S3 server."""
    user = {"accessKey": key, "secretKey": secret}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    return {"identities": [{"name": "airflow", "credentials": [user], "actions": actions}]}


def connections(key: str, secret: str, blob_key: str) -> dict[str, dict[str, object]]:
    """Airflow's connections, for ``airflow connections import``."""
    s3 = {"endpoint_url": "http://s3:8333", "region_name": "us-east-1"}
    return {
        # Port 0 is what Airflow's page saves and sends for no port: its Test button refuses where the two differ.
        "spark_cluster_default": {"conn_type": "spark_cluster", "port": 0, "extra": {"backend": "local"}},
        "mlflow_default": {
            "conn_type": "mlflow",
            "host": "http://mlflow:5000",
            "port": 0,
            "extra": {"ui_url": "http://localhost:5000"},
        },
        "aws_default": {"conn_type": "aws", "login": key, "password": secret, "extra": s3},
        "flights": mount("s3://flights/lake", "aws_default"),
        "flights_blob": mount(f"wasbs://flights@{ACCOUNT}.blob.core.windows.net/lake", "wasb_default"),
        "wasb_default": {"conn_type": "wasb", "host": f"http://blob:10000/{ACCOUNT}", "login": ACCOUNT, "password": blob_key},
    }


def mount(source: str, conn_id: str) -> dict[str, object]:
    """A connection of the type ``mount``."""
    return {"conn_type": "mount", "port": 0, "extra": {"source": source, "credentials_conn_id": conn_id}}


def write(folder: Path) -> None:
    """Each file at once, so that a start that was cut short is taken up again."""
    os.umask(0o077)
    if (folder / "complete").exists():
        return
    for name, content in files().items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "complete").touch()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
