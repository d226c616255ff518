"""A mount of Google Cloud Storage that somebody else writes meanwhile, on fake-gcs-server, whose build takes Go minutes.

The same on S3, Blob and SFTP is in tests/integration/test_mount_freshness.py.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.filesystems.matching import matches
from airflow_ml_provider.filesystems.mount import MountFileSystem
from airflow_ml_provider.hooks.stores import forget_store
from tests.servers.gcs import GoogleServer, fake_gcs

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def server() -> Iterator[GoogleServer]:
    with fake_gcs() as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{found.port}")  # gcsfs reads it
        patch.setenv("AIRFLOW_CONN_THE_GOOGLE", json.dumps(found.connection))
        extra = {"source": f"gs://{found.make('freshness')}/in", "credentials_conn_id": "the_google"}
        patch.setenv("AIRFLOW_CONN_GCS", json.dumps({"conn_type": "mount", "extra": extra}))
        yield found
        forget_store()


def put(server: GoogleServer, name: str, data: bytes) -> None:
    url = f"http://127.0.0.1:{server.port}/upload/storage/v1/b/freshness/o?uploadType=media&name={quote(name, safe='')}"
    urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "text/plain"}), timeout=30).close()


def test_nothing_is_stale_and_nothing_leads_out(server: GoogleServer) -> None:
    filesystem = MountFileSystem()

    def seen(pattern: str) -> list[str]:
        found = matches(filesystem, "gcs/waits", [f"mount://gcs/waits/{pattern}"])
        return [file.path.rpartition("/")[2] for files in found.values() for file in files]

    put(server, "in/waits/old.csv", b"1")
    assert seen("*.csv") == ["old.csv"]
    assert not filesystem.exists("gcs/waits/br[1].csv")
    put(server, "in/waits/br[1].csv", b"one")
    put(server, "in/waits/br1.csv", b"2")
    assert seen("br[1].csv") == ["br[1].csv"]
    assert filesystem.cat_file("gcs/waits/br[1].csv") == b"one"
    put(server, "in/waits/br[1].csv", b"changed")
    assert filesystem.cat_file("gcs/waits/br[1].csv") == b"changed"
    assert filesystem.info("gcs/waits/br[1].csv")["size"] == 7
    filesystem.rm("gcs/waits/br[1].csv")
    assert seen("*") == ["br1.csv", "old.csv"]
    put(server, "secret.txt", b"another team's")
    with pytest.raises(SpecError, match="could lead out of the mount"):
        filesystem.cat_file("gcs/../secret.txt")
    with pytest.raises(FileNotFoundError):
        filesystem.cat_file("gcs/%2e%2e/secret.txt")
