"""What others send is taken up to a limit, whatever they say of its length: nothing fills the memory or a store."""

from __future__ import annotations

import json
import resource
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed
from airflow_ml_provider.adf.airflow.data import http_file, zip_files
from airflow_ml_provider.adf.airflow.data.dataset_places import Store
from airflow_ml_provider.adf.airflow.data.excel import rows_of_sheet
from airflow_ml_provider.adf.airflow.data.file_selection import Selection
from airflow_ml_provider.adf.airflow.data.http_requests import ask
from airflow_ml_provider.adf.airflow.data.size_limits import DEFAULTS, limit_of
from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.get_provider_info import get_provider_info
from tests.airflow.test_adf_triggers import lake

__all__ = ["lake"]
PREFIX = "AIRFLOW__AIRFLOW_ML_PROVIDER__"
MIB = 1 << 20


class Endless(BaseHTTPRequestHandler):
    """Answers without an end: in chunks, and with a length that is a lie where the path says so."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.server.sent = 0  # type: ignore[attr-defined]
        try:
            while True:
                self.wfile.write(b"x" * MIB)
                self.server.sent += 1  # type: ignore[attr-defined]
        except OSError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{made.server_port}"
        monkeypatch.setenv("AIRFLOW_CONN_SITE", json.dumps({"conn_type": "http", "host": url}))
        made.url = url
        yield made
        made.shutdown()


def peak() -> int:
    """MiB that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def call(**properties: Any) -> Any:
    """An activity's call, as far as its data asks for it."""
    return lambda name, default=None: properties.get(name, default)


def test_an_answer_without_an_end_ends_at_the_limit(endless: Any, airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}ADF_MAX_ANSWER_MIB", "3")
    before = peak()
    with pytest.raises(
        ActivityFailed, match=r"the answer of GET .*: more than 3 MiB: \[airflow_ml_provider\] adf_max_answer_mib"
    ):
        ask("GET", f"{endless.url}/?sig=canary", headers={}, timeout=20)
    assert peak() - before < 64


def test_the_error_shows_no_query(endless: Any, airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}ADF_MAX_ANSWER_MIB", "1")
    with pytest.raises(ActivityFailed) as caught:
        ask("GET", f"{endless.url}/?sig=canary", headers={}, timeout=20)
    assert "canary" not in str(caught.value)


def test_a_file_without_an_end_is_not_kept(endless: Any, airflow_db: None, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}ADF_MAX_FILE_MIB", "5")
    source = Store("site", "binary", "site", {"location": {"relativeUrl": "/big.bin"}})
    sink = Store("out", "binary", "lake", {"location": {"fileSystem": "raw", "folderPath": "out"}})
    before = peak()
    with pytest.raises(ActivityFailed, match=r"the file '/big\.bin' of connection 'site': more than 5 MiB"):
        http_file.download(call(), source, sink)
    assert not list(lake.rglob("big.bin*"))
    assert peak() - before < 64


def bomb(path: Path, members: int, mib: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for number in range(members):
            made.writestr(f"{number}.txt", b"\0" * (mib * MIB))


@pytest.mark.parametrize(
    ("members", "mib", "setting", "told"),
    [(1, 8, "ADF_MAX_FILE_MIB", "the unpacked files: more than 5 MiB"), (9, 0, "ADF_MAX_ZIP_ENTRIES", "the archives: more than 5 files")],
)  # fmt: skip
def test_an_archive_unpacks_to_so_much(
    airflow_db: None, lake: Path, monkeypatch: pytest.MonkeyPatch, members: int, mib: int, setting: str, told: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}{setting}", "5")
    bomb(lake / "in" / "bomb.zip", members, mib)
    assert (lake / "in" / "bomb.zip").stat().st_size < MIB
    chosen = Selection("lake/raw/in", ("lake/raw/in/bomb.zip",))
    sink = Store("out", "binary", "lake", {"location": {"fileSystem": "raw", "folderPath": "out"}})
    with pytest.raises(ActivityFailed, match=told):
        zip_files.unpack(call(), chosen, sink)
    assert sum(one.stat().st_size for one in (lake / "out").rglob("*.txt")) <= 5 * MIB


def test_a_workbook_that_unpacks_to_too_much_is_not_opened(airflow_db: None, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}ADF_MAX_WORKBOOK_MIB", "2")
    bomb(lake / "in" / "bomb.xlsx", 1, 8)
    place = Store("in", "excel", "lake", {"location": {"fileName": "bomb.xlsx"}, "sheetIndex": 0})
    before = peak()
    with pytest.raises(ActivityFailed, match="dataset 'in': the unpacked workbook: more than 2 MiB"):
        list(rows_of_sheet(place, "lake/raw/in/bomb.xlsx", {}))
    assert peak() - before < 32


def test_the_settings_are_airflows(airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    options = get_provider_info()["config"]["airflow_ml_provider"]["options"]
    assert {name: int(options[name]["default"]) for name in DEFAULTS} == DEFAULTS
    monkeypatch.setenv(f"{PREFIX}ADF_MAX_FILE_MIB", "none")
    with pytest.raises(
        ConfigurationError, match=r"\[airflow_ml_provider\] adf_max_file_mib: expected a whole number above 0, got 'none'"
    ):
        limit_of("adf_max_file_mib")
