"""SFTP servers: ``sftp://host:port/path``, opened by an ``sftp`` or ``ssh`` connection as Airflow's own provider reads it. Spark does not."""

from __future__ import annotations

from typing import Any

from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.core.storage.base import Credentials, Opened, split_source, takes_type, wrong_source

SCHEMES = ("sftp",)
_PORT = 22
_RSA = "ssh-rsa"


def open_sftp(source: str, credentials: Credentials | None) -> Opened:
    """A folder of a server. The server's key must be the connection's ``host_key``, or among the machine's known hosts."""
    parts = split_source(source)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or "@" in parts.netloc:
        raise wrong_source(source, "sftp://host:port/path, and the login in the connection")
    if credentials is None:
        raise ConfigurationError(f"the source {source!r} takes a connection of the type 'sftp': name it as conn_id")
    takes_type(credentials, source, "sftp", "ssh")
    return Opened(
        link="",
        protocol="sftp",
        path=parts.path.rstrip("/") or "/",
        options={
            "host": host,
            "port": port or credentials.port or _PORT,
            **_login(credentials),
            "known_hosts": _known(credentials),
        },
    )


def _login(credentials: Credentials) -> dict[str, Any]:
    """The user, and a password or a key, as ``sshfs`` takes them."""
    if not credentials.login:
        raise credentials.wrong("login", "is empty: takes the user")
    found: dict[str, Any] = {"username": credentials.login, "client_keys": None}
    if credentials.password:
        found["password"] = credentials.password
    if text := credentials.get("private_key"):
        found["client_keys"] = [str(text).encode()]
    elif path := credentials.get("key_file"):
        found["client_keys"] = [str(path)]
    if found["client_keys"] and (passphrase := credentials.get("private_key_passphrase")):
        found["passphrase"] = str(passphrase)
    if not found["client_keys"] and "password" not in found:
        raise credentials.wrong("password", "is empty: takes a password, or private_key or key_file in the extra")
    return found


def _known(credentials: Credentials) -> Any:
    """The server's key; nothing for those that the machine knows, None for any at all."""
    if key := credentials.get("host_key"):
        kind, _, rest = str(key).strip().rpartition(" ")
        return f"* {kind or _RSA} {rest}\n".encode()
    return None if str(credentials.extra.get("no_host_key_check", "")).lower() == "true" else ()
