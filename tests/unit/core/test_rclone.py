"""What mounts mean to rclone: every login is honoured or refused."""

from __future__ import annotations

from configparser import RawConfigParser

import pytest

from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.core.mounts import Credentials, Mount, open_mount
from airflow_ml_provider.core.storage.rclone import rclone_config
from tests.unit.core.test_mounts import CANARY, CASES, S3, aws

REFUSED = {
    "s3_endpoint": "leave out 'verify'",
    "s3_web_identity": "knows nothing like the setting 'auth.profile.file'",
    "google_federation": "no credentials of the type 'external_account'",
}
EXPECTED = {
    "s3_nobody": {"type": "s3", "provider": "AWS", "env_auth": "true"},
    "s3_keys": {"env_auth": "false", "access_key_id": "canary-key", "secret_access_key": CANARY, "region": "eu-west-1"},
    "s3_session_token": {"env_auth": "false", "session_token": "canary-token"},
    "s3_role": {"role_arn": "arn:aws:iam::1:role/reader", "role_external_id": "x", "role_session_duration": "900s"},
    "s3_role_of_instance": {"env_auth": "true", "role_arn": "arn:aws:iam::1:role/reader"},
    "s3_profile": {"env_auth": "true", "profile": "science"},
    "s3_anonymous": {"env_auth": "false"},
    "azure_key": {"type": "azureblob", "account": "account", "key": CANARY},
    "azure_sas": {"sas_url": f"https://account.blob.core.windows.net/box?sv=1&sig={CANARY}"},
    "azure_service_principal": {"account": "account", "tenant": "tenant", "client_id": "client", "client_secret": CANARY},
    "azure_managed_identity": {"account": "account", "use_msi": "true", "msi_client_id": "client"},
    "azure_workload_identity": {"account": "account", "env_auth": "true"},
    "azure_nobody": {"account": "account", "env_auth": "true"},
    "google_nobody": {"type": "google cloud storage", "env_auth": "true"},
    "google_key": {"service_account_credentials": f'{{"private_key": "{CANARY}"}}'},
    "google_key_path": {"service_account_file": "/run/key.json"},
    "google_anonymous": {"anonymous": "true"},
    "hdfs": {"type": "hdfs", "namenode": "node:8020", "username": "ann"},
    "folder": {"type": "local"},
}


def sections(name: str, source: str, credentials: Credentials | None) -> RawConfigParser:
    mount = Mount(name, source)
    found = RawConfigParser()
    found.read_string(rclone_config({mount: open_mount(mount, credentials)}))
    return found


@pytest.mark.parametrize("name", CASES)
def test_every_login_is_honoured_or_refused(name: str) -> None:
    if name in REFUSED:
        with pytest.raises(ConfigurationError, match=REFUSED[name]) as refused:
            sections("raw", *CASES[name])
        assert CANARY not in str(refused.value)
        return
    store = dict(sections("raw", *CASES[name])["raw+store"])
    expected = EXPECTED.get(name, {})
    assert {key: store.get(key) for key in expected} == expected


def test_a_mount_is_a_place_in_its_store() -> None:
    assert dict(sections("raw", S3, None)["raw+place"]) == {"type": "alias", "remote": "raw+store:bucket/raw"}
    assert sections("raw", "/data/50% of it", None)["raw+place"]["remote"] == "/data/50% of it"


@pytest.mark.parametrize("secret", ["two\n[x]", " blank", '"quoted', "`", "a%(b)s"])
def test_what_the_file_cannot_hold_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot hold the value of 'secret_access_key'") as refused:
        sections("raw", S3, aws("key", secret))
    assert secret not in str(refused.value)
