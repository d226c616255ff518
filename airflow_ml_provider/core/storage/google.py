"""Google Cloud Storage: ``gs://bucket/path``, opened by a ``google_cloud_platform`` connection as Airflow's Google provider reads it."""

from __future__ import annotations

import json
from typing import Any

from airflow_ml_provider.core.storage.base import (
    Credentials,
    FileReference,
    Opened,
    join,
    link,
    split_source,
    takes_type,
    wrong_source,
)

SCHEMES = ("gs", "gcs")
COMMITTER = {
    "mapreduce.outputcommitter.factory.scheme.gs": (
        "org.apache.hadoop.mapreduce.lib.output.committer.manifest.ManifestCommitterFactory"
    )
}
_KEY_FILE = "fs.gs.auth.service.account.json.keyfile"
_FEDERATION_FILE = "fs.gs.auth.workload.identity.federation.credential.config.file"


def open_google(source: str, credentials: Credentials | None) -> Opened:
    """A bucket or a place in it. The connector knows one login for all buckets."""
    parts = split_source(source)
    if not parts.netloc or "@" in parts.netloc:
        raise wrong_source(source, "gs://bucket/path")
    if credentials is not None:
        takes_type(credentials, source, "google_cloud_platform")
    conf, files, options = _login(credentials)
    project = credentials.get("project") if credentials is not None else None
    return Opened(
        link=link(f"gs://{parts.netloc}", parts.path),
        protocol="gs",
        path=join(parts.netloc, parts.path),
        conf={**COMMITTER, **conf, **({"fs.gs.project.id": project} if project else {})},
        files=files,
        options={**options, **({"project": project} if project else {})},
    )


def _login(credentials: Credentials | None) -> tuple[dict[str, str], dict[str, str], dict[str, Any]]:
    """Settings, files, and arguments of ``gcsfs``."""
    if credentials is None:
        return {"fs.gs.auth.type": "APPLICATION_DEFAULT"}, {}, {"token": "google_default"}
    for name in ("impersonation_chain", "key_secret_name", "idp_extra_parameters"):
        if credentials.get(name):
            raise credentials.wrong(name, "cannot be honoured by Hadoop's connector: give a key file, or leave all empty")
    if content := credentials.get("keyfile_dict"):
        return _key_content(credentials, content)
    if path := credentials.get("key_path"):
        return {"fs.gs.auth.type": "SERVICE_ACCOUNT_JSON_KEYFILE", _KEY_FILE: path}, {}, {"token": path}
    if config := credentials.get("credential_config_file"):
        return _federation(credentials, config)
    if credentials.get("is_anonymous"):
        return {"fs.gs.auth.type": "UNAUTHENTICATED"}, {}, {"token": "anon"}
    return {"fs.gs.auth.type": "APPLICATION_DEFAULT"}, {}, {"token": "google_default"}


def _key_content(credentials: Credentials, content: Any) -> tuple[dict[str, str], dict[str, str], dict[str, Any]]:
    key = _document(credentials, "keyfile_dict", content)
    name = f"google-{credentials.conn_id}.json"
    conf = {"fs.gs.auth.type": "SERVICE_ACCOUNT_JSON_KEYFILE", _KEY_FILE: FileReference(name)}
    return conf, {name: json.dumps(key)}, {"token": key}


def _federation(credentials: Credentials, config: Any) -> tuple[dict[str, str], dict[str, str], dict[str, Any]]:
    """A path, or the configuration itself."""
    auth = {"fs.gs.auth.type": "WORKLOAD_IDENTITY_FEDERATION_CREDENTIAL_CONFIG_FILE"}
    if isinstance(config, str) and not config.lstrip().startswith("{"):
        return {**auth, _FEDERATION_FILE: config}, {}, {"token": config}
    document = _document(credentials, "credential_config_file", config)
    name = f"google-{credentials.conn_id}.json"
    return {**auth, _FEDERATION_FILE: FileReference(name)}, {name: json.dumps(document)}, {"token": document}


def _document(credentials: Credentials, name: str, content: Any) -> dict[str, Any]:
    try:
        found = json.loads(content) if isinstance(content, str) else content
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise credentials.wrong(name, "is no JSON object")
    return found
