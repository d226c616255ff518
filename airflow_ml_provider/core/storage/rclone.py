"""What opened mounts mean to rclone, which shows a store as a folder: the text of its configuration file. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.core.spec import Mount
from airflow_ml_provider.core.storage.base import Opened

FILE = "rclone.conf"
"""The name of the configuration among a cluster's secret files."""
_S3A = {
    "access.key": "access_key_id",
    "secret.key": "secret_access_key",
    "session.token": "session_token",
    "endpoint": "endpoint",
    "endpoint.region": "region",
    "path.style.access": "force_path_style",
    "auth.profile.name": "profile",
    "assumed.role.arn": "role_arn",
    "assumed.role.session.name": "role_session_name",
    "assumed.role.session.duration": "role_session_duration",
    "assumed.role.external.id": "role_external_id",
}
_S3A_IMPLIED = (
    *("aws.credentials.provider", "connection.ssl.enabled"),
    *("assumed.role.credentials.provider", "assumed.role.sts.endpoint", "assumed.role.sts.endpoint.region"),
)
_ADLFS = {
    "account_name": "account",
    "account_key": "key",
    "connection_string": "connection_string",
    "tenant_id": "tenant",
    "client_id": "client_id",
    "client_secret": "client_secret",
}
_AZURE = "core.windows.net"


def rclone_config(opened: Mapping[Mount, Opened]) -> str:
    """Two sections a mount: ``<name>+store`` with its login, and ``<name>+place``, which is the mount's source in it.

    :raises ConfigurationError: rclone cannot honour something that the connection asks for.
    """
    return "\n".join(line for mount, item in opened.items() for line in _sections(mount, item))


def place(name: str) -> str:
    """What rclone calls a mount's source."""
    return f"{name}+place:"


def _sections(mount: Mount, opened: Opened) -> list[str]:
    store = _STORES[opened.protocol](mount, opened)
    where = opened.path if opened.protocol == "file" else f"{mount.name}+store:{opened.path}"
    return [
        *(f"[{mount.name}+store]", *(f"{key} = {_value(mount, key, value)}" for key, value in store.items()), ""),
        *(f"[{mount.name}+place]", "type = alias", f"remote = {_value(mount, 'source', where)}", ""),
    ]


def _value(mount: Mount, key: str, value: Any) -> str:
    """One line of the file, which has no way to escape what would be read as something else."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if text != text.strip() or text[:1] in ('"', "`") or "%(" in text or not text.isprintable():
        raise _cannot(mount, f"its configuration cannot hold the value of {key!r}")
    return text


def _s3(mount: Mount, opened: Opened) -> dict[str, Any]:
    """From the settings of the mount's bucket in Hadoop's S3A, which say all that the connection does."""
    prefix = f"fs.s3a.bucket.{urlsplit(opened.link).netloc}."
    given = {
        key.removeprefix(prefix): value for key, value in {**opened.conf, **opened.secrets}.items() if key.startswith(prefix)
    }
    for key in given:
        if key not in _S3A and key not in _S3A_IMPLIED:
            raise _cannot(mount, f"it knows nothing like the setting {key!r} of Hadoop")
    if (opened.options.get("client_kwargs") or {}).get("verify") not in (None, True):
        raise _cannot(mount, "it checks certificates as the machine does: leave out 'verify' of the connection")
    found = {_S3A[key]: value for key, value in given.items() if key in _S3A}
    nobody = opened.options.get("anon") or "access_key_id" in found
    provider = "Other" if "endpoint" in found else "AWS"
    return {"type": "s3", "provider": provider, "env_auth": not nobody, "no_check_bucket": True, **found}


def _azure(mount: Mount, opened: Opened) -> dict[str, Any]:
    container, _, host = urlsplit(opened.link).netloc.partition("@")
    account, _, suffix = host.partition(".dfs.")
    given = {_ADLFS[key]: value for key, value in opened.options.items() if key in _ADLFS}
    common = {"type": "azureblob", "no_check_container": True}
    found = {**common, **given}
    if "connection_string" in given:
        return {**common, "connection_string": given["connection_string"]}
    if sas := opened.options.get("sas_token"):
        return {**common, "sas_url": f"https://{account}.blob.{suffix}/{container}?{sas}"}
    if suffix != _AZURE:
        found["endpoint"] = f"https://{account}.blob.{suffix}"
    return found if len(given) > 1 else {**found, **_identity(opened)}


def _identity(opened: Opened) -> dict[str, Any]:
    """Whoever the machine is."""
    of = {key.partition(".account.oauth")[2].partition(".core")[0]: value for key, value in opened.conf.items()}
    managed = any(value.endswith("MsiTokenProvider") for value in of.values())
    client = next((value for key, value in opened.conf.items() if key.startswith("fs.azure.account.oauth2.client.id.")), None)
    return {"use_msi": True, "msi_client_id": client} if managed and client else {"env_auth": True}


def _google(mount: Mount, opened: Opened) -> dict[str, Any]:
    token = opened.options.get("token")
    found: dict[str, Any] = {"type": "google cloud storage", "bucket_policy_only": True}
    if token == "anon":
        return {**found, "anonymous": True}
    if isinstance(token, Mapping):
        if token.get("type", "service_account") != "service_account":
            raise _cannot(mount, f"it takes no credentials of the type {token['type']!r}: give the key of a service account")
        return {**found, "service_account_credentials": json.dumps(token)}
    return {**found, "env_auth": True} if token == "google_default" else {**found, "service_account_file": token}


def _hdfs(mount: Mount, opened: Opened) -> dict[str, Any]:
    options = opened.options
    user = {"username": options["user"]} if options.get("user") else {}
    return {"type": "hdfs", "namenode": f"{options['host']}:{options.get('port', 8020)}", **user}


def _folder(mount: Mount, opened: Opened) -> dict[str, Any]:
    return {"type": "local"}


def _cannot(mount: Mount, why: str) -> ConfigurationError:
    return ConfigurationError(f"mount {mount.name!r}: got fuse=True, and rclone cannot open it as its connection says: {why}")


_STORES: Mapping[str, Callable[[Mount, Opened], dict[str, Any]]] = {
    "s3": _s3,
    "abfs": _azure,
    "gs": _google,
    "hdfs": _hdfs,
    "file": _folder,
}
