"""What mounts mean to Hadoop and fsspec, for every kind of source and of login. A golden file a case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.core.errors import ConfigurationError, SpecError
from airflow_ml_provider.core.mounts import Credentials, Mount, Opened, check_mounts, connectors, hadoop_settings, open_mount

GOLDEN = Path(__file__).parents[2] / "golden" / "mounts"
CANARY = "canary-secret"
ROLE = {"role_arn": "arn:aws:iam::1:role/reader", "region_name": "eu-west-1"}


def aws(login: str = "", password: str = "", **extra: Any) -> Credentials:
    return Credentials("store", "aws", login, password, extra=extra)


def wasb(login: str = "", password: str = "", host: str = "", **extra: Any) -> Credentials:
    return Credentials("store", "wasb", login, password, host, extra=extra)


def google(**extra: Any) -> Credentials:
    return Credentials("store", "google_cloud_platform", extra=extra)


S3, ABFS, GS = "s3://bucket/raw", "abfss://box@account.dfs.core.windows.net/raw", "gs://bucket/raw"
CASES: dict[str, tuple[str, Credentials | None]] = {
    "s3_nobody": (S3, None),
    "s3_keys": ("s3a://bucket", aws("canary-key", CANARY, region_name="eu-west-1")),
    "s3_keys_in_extra": (S3, aws(aws_access_key_id="canary-key", aws_secret_access_key=CANARY)),
    "s3_session_token": (S3, aws("canary-key", CANARY, aws_session_token="canary-token")),
    "s3_endpoint": (
        S3,
        aws("canary-key", CANARY, service_config={"s3": {"endpoint_url": "http://localhost:8333"}}, verify=False),
    ),
    "s3_role": (S3, aws("canary-key", CANARY, **ROLE, assume_role_kwargs={"ExternalId": "x", "DurationSeconds": 900})),
    "s3_role_of_instance": (S3, aws(**ROLE)),
    "s3_web_identity": (
        S3,
        aws(**ROLE, assume_role_method="assume_role_with_web_identity", assume_role_with_web_identity_token_file="/run/token"),
    ),
    "s3_profile": (S3, aws(profile_name="science")),
    "s3_instance": (S3, aws()),
    "s3_anonymous": (S3, aws(config_kwargs={"signature_version": "unsigned"})),
    "azure_nobody": (ABFS, None),
    "azure_key": (ABFS, wasb("account", CANARY)),
    "azure_key_blob": ("wasbs://box@account.blob.core.windows.net/raw", wasb(shared_access_key=CANARY)),
    "azure_key_adls": ("az://box/raw", Credentials("store", "adls", password=CANARY, host="account")),
    "azure_connection_string": ("az://box", wasb(connection_string=f"AccountName=account;AccountKey={CANARY}==")),
    "azure_sas": (ABFS, wasb("account", sas_token=f"?sv=1&sig={CANARY}")),
    "azure_service_principal": (ABFS, wasb("client", CANARY, "account", tenant_id="tenant")),
    "azure_managed_identity": (ABFS, wasb("account", managed_identity_client_id="client")),
    "azure_workload_identity": (ABFS, wasb(workload_identity_tenant_id="tenant", managed_identity_client_id="client")),
    "azure_emulator": ("az://box/raw", wasb("devstoreaccount1", CANARY, "http://127.0.0.1:10000/devstoreaccount1")),
    "google_nobody": (GS, None),
    "google_key": (GS, google(keyfile_dict=json.dumps({"private_key": CANARY}), project="science")),
    "google_key_path": ("gs://bucket", google(key_path="/run/key.json")),
    "google_federation": (GS, google(credential_config_file={"type": "external_account"})),
    "google_anonymous": (GS, google(is_anonymous=True)),
    "hdfs": ("hdfs://node:8020/raw", Credentials("store", "webhdfs", "ann")),
    "folder": ("/data/50% of it", None),
    "folder_uri": ("file:///data/50%25%20of%20it/", None),
}


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("/data/50%25 off#1?", "/data/50%25 off#1?"),
        ("file:///data/50%25%20off", "/data/50% off"),
        ("file:/data/a#b?c", "/data/a#b?c"),
        ("s3://bucket/a#b?c%20", "bucket/a#b?c%20"),
        ("hdfs://node:8020/a#b?c%20", "/a#b?c%20"),
    ],
)
def test_a_source_is_no_url(source: str, path: str) -> None:
    assert open_mount(Mount("raw", source), None).path == path


def document(opened: Opened) -> dict[str, Any]:
    names = ("link", "protocol", "path", "conf", "secrets", "files", "options", "assumes_role")
    return json.loads(json.dumps({name: getattr(opened, name) for name in names}))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", CASES)
def test_what_a_source_and_a_connection_mean(name: str) -> None:
    """To change a golden file on purpose, write what the failure shows into it."""
    source, credentials = CASES[name]
    opened = open_mount(Mount("raw", source), credentials)
    assert document(opened) == json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CASES)
def test_no_secret_is_in_what_can_be_seen(name: str) -> None:
    source, credentials = CASES[name]
    opened = open_mount(Mount("raw", source), credentials)
    assert "canary" not in repr((credentials, opened, dict(opened.conf)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a/b", "source": "/data"}, "Mount.name: got 'a/b': has a slash"),
        ({"name": "", "source": "/data"}, "Mount.name: got '': takes 1 to 63 letters"),
        ({"name": "..", "source": "/data"}, "Mount.name: got '..': takes 1 to 63 letters"),
        ({"name": "a", "source": "data"}, "Mount.source: got 'data': takes a URI with one of the schemes abfs"),
        ({"name": "a", "source": "ftp://host/x"}, "Mount.source: got 'ftp://host/x': takes a URI with one of the schemes"),
        ({"name": "a"}, "Mount.source: is required"),
        ({"name": "a", "source": "/data", "readonly": True}, "Mount.readonly: no such field. Did you mean 'read_only'?"),
    ],
)
def test_a_wrong_mount_names_its_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Mount(**fields)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("source", "credentials", "message"),
    [
        ("s3://", None, "Mount.source: got 's3://': takes s3://bucket/path"),
        ("s3://host:9000/bucket", None, "takes s3://bucket/path, and an endpoint in the connection"),
        ("abfss://box/raw", None, "Mount.source: got 'abfss://box/raw': takes abfss://container@account.dfs.core.windows.net"),
        ("abfss://box@account/raw", None, "takes abfss://container@account.dfs.core.windows.net"),
        ("hdfs:///raw", None, "takes hdfs://host:port/path"),
        ("sftp:///raw", None, "takes sftp://host:port/path"),
        ("sftp://ann@host/raw", None, "takes sftp://host:port/path"),
        ("sftp://host:x/raw", None, "takes sftp://host:port/path"),
        ("sftp://host/raw", None, "takes a connection of the type 'sftp'"),
        ("sftp://host/raw", aws(), "got the type 'aws'"),
        ("sftp://host/raw", Credentials("store", "sftp"), "field 'login': is empty"),
        ("sftp://host/raw", Credentials("store", "sftp", "ann"), "field 'password': is empty"),
        ("file://elsewhere/raw", None, "takes file:///path or an absolute path"),
        (S3, wasb(), "connection 'store': got the type 'wasb': the source 's3://bucket/raw' takes 'aws'"),
        (ABFS, aws(), "takes 'wasb' or 'adls' or 'azure_data_lake'"),
        ("/data", aws(), "is a folder: leave out conn_id"),
        (S3, aws("canary-key"), "field 'password': is empty: takes the secret access key"),
        (S3, aws(**ROLE, assume_role_method="assume_role_with_saml"), "'assume_role_method': got 'assume_role_with_saml'"),
        (S3, aws(**ROLE, assume_role_method="assume_role_with_web_identity"), "takes the path of a file on the cluster"),
        (S3, aws(**ROLE, service_config={"sts": {"endpoint_url": "http://sts:80"}}), "sts takes https://host alone"),
        (ABFS, wasb("client", tenant_id="tenant"), "field 'password': is empty: a tenant id takes"),
        (ABFS, wasb(workload_identity_tenant_id="tenant"), "field 'managed_identity_client_id': is empty"),
        (GS, google(keyfile_dict=CANARY), "field 'keyfile_dict': is no JSON object"),
        (GS, google(impersonation_chain="x"), "field 'impersonation_chain': cannot be honoured"),
    ],
)
def test_a_source_that_cannot_be_opened_says_why(source: str, credentials: Credentials | None, message: str) -> None:
    with pytest.raises((SpecError, ConfigurationError)) as caught:
        open_mount(Mount("raw", source), credentials)
    assert message in str(caught.value)
    assert "canary" not in str(caught.value)


def test_names_are_unique() -> None:
    check_mounts([Mount("a", "/x"), Mount("b", "/x"), Mount("a.b", "/x/y")])
    with pytest.raises(SpecError, match=r"mounts: got 'a' twice, for '/x' and '/y': takes each name once"):
        check_mounts([Mount("a", "/x"), Mount("a", "/y")])


def test_the_settings_of_several_mounts() -> None:
    mounts = {
        Mount("raw", S3, read_only=True): aws("canary-key", CANARY),
        Mount("out", "s3://other"): None,
        Mount("blob", ABFS): wasb("account", CANARY),
    }
    found = hadoop_settings({mount: open_mount(mount, credentials) for mount, credentials in mounts.items()})
    links = {key.rpartition("/")[2]: value for key, value in found.conf.items() if ".link." in key}
    assert links == {
        "raw": "readonly-s3a://bucket/raw",
        "out": "s3a://other/",
        "blob": "abfss://box@account.dfs.core.windows.net/raw",
    }
    assert connectors(mounts) == ("aws", "azure")
    assert "canary" not in repr(found.conf)
    assert len(found.secrets) == 3


def test_one_bucket_through_two_connections_is_refused() -> None:
    mounts = {Mount("a", "s3://bucket/a"): aws("x", CANARY), Mount("b", "s3://bucket/b"): aws("y", CANARY)}
    with pytest.raises(SpecError, match=r"got 'a' and 'b', which need the setting 'fs.s3a.bucket.bucket.access.key'") as caught:
        hadoop_settings({mount: open_mount(mount, credentials) for mount, credentials in mounts.items()})
    assert "canary" not in str(caught.value)
