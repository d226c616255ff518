"""The servers of the tests do what the tests rely on."""

from __future__ import annotations

import pytest

from tests.servers.azurite import BlobServer
from tests.servers.seaweedfs import S3Server


def test_seaweedfs_checks_keys(seaweedfs: S3Server) -> None:
    from botocore.exceptions import ClientError

    bucket = seaweedfs.make("keys")
    seaweedfs.client().put_object(Bucket=bucket, Key="a/b c", Body=b"1")
    assert seaweedfs.client().get_object(Bucket=bucket, Key="a/b c")["Body"].read() == b"1"
    with pytest.raises(ClientError, match="SignatureDoesNotMatch|AccessDenied|Forbidden"):
        S3Server(seaweedfs.endpoint, secret="wrong").client().list_objects_v2(Bucket=bucket)


def test_azurite_checks_keys(azurite: BlobServer) -> None:
    from azure.core.exceptions import HttpResponseError

    container = azurite.make("keys")
    with azurite.client() as client:
        client.get_blob_client(container, "a/b c").upload_blob(b"1")
        assert client.get_blob_client(container, "a/b c").download_blob().readall() == b"1"
    with BlobServer(azurite.endpoint, key="d3Jvbmc=").client() as client, pytest.raises(HttpResponseError):
        client.create_container("other")
