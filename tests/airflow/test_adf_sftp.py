"""Files of a real SFTP server in Data Factory's activities."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.mounts import Mount, hadoop_settings
from airflow_ml_provider.hooks.mount import MountHook
from tests.airflow.conftest import Run
from tests.airflow.test_adf_activities import activity, copied, dataset, lake, pipeline
from tests.airflow.test_adf_control import check
from tests.airflow.test_adf_semantics import after
from tests.servers.sftp import PASSWORD, USER, SftpServer, sftp_server

__all__ = ["lake", "pipeline"]
HEADER = {"firstRowAsHeader": True}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SftpServer]:
    """A server whose root is the folder ``remote``, behind the mount ``the_server``."""
    (tmp_path / "remote" / "out").mkdir(parents=True)
    with sftp_server(tmp_path / "remote") as found:
        opened_by(monkeypatch, found)
        yield found


def opened_by(monkeypatch: pytest.MonkeyPatch, server: SftpServer, **changed: Any) -> MountHook:
    mount = {"conn_type": "mount", "extra": {"source": server.source, "credentials_conn_id": "the_login"}}
    monkeypatch.setenv("AIRFLOW_CONN_THE_SERVER", json.dumps(mount))
    monkeypatch.setenv("AIRFLOW_CONN_THE_LOGIN", json.dumps({**server.connection, **changed}))
    return MountHook("the_server")


def place(folder: str, name: str = "") -> dict[str, str]:
    return {"type": "SftpLocation", "folderPath": folder, **({"fileName": name} if name else {})}


def test_who_opens_a_server_and_which(server: SftpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened_by(monkeypatch, server).test_connection() == (True, f"{server.source}: ready, 1 entries")
    host = {"host_key": server.host_key}
    keyed = opened_by(monkeypatch, server, password="", extra={**host, "private_key": server.key})
    assert keyed.test_connection()[0]
    trusting = opened_by(monkeypatch, server, extra={"no_host_key_check": "true"})
    assert trusting.test_connection()[0]
    for wrong in ({"password": "other"}, {"extra": {}}, {"extra": {"host_key": server.host_key[:-6] + "AAAAAA"}}):
        works, told = opened_by(monkeypatch, server, **wrong).test_connection()
        assert not works
        assert PASSWORD not in told
    opened = {keyed.mount: keyed.opened}
    with pytest.raises(SpecError, match="got 'the_server' of sftp://, which Spark does not read: copy its files elsewhere first"):
        hadoop_settings(opened)
    assert Mount("a", server.source, "the_login").scheme == "sftp"
    assert USER not in str(keyed.opened)


def test_files_come_and_go(pipeline: Callable[..., Run], tmp_path: Path, lake: Path, server: SftpServer) -> None:
    remote, folder = tmp_path / "remote", tmp_path / "dataset"
    (remote / "in" / "deep").mkdir(parents=True)
    for name in ("a.csv", "b.csv", "c.txt", "deep/d.csv"):
        (remote / "in" / name).write_text(f"day,rows\n{name[0]},1\n")
    inbox = dataset(folder, "inbox", "Binary", "the server", location=place("in"))
    raw = dataset(folder, "raw", "Binary", "the lake", location={"folderPath": "raw"})
    one = dataset(folder, "one", "DelimitedText", "the server", location=place("in/deep", "d.csv"), **HEADER)
    out = dataset(folder, "out", "Json", "the server", location=place("out", "all.json"))
    text = dataset(folder, "text", "DelimitedText", "the lake", location={"folderPath": "raw"}, **HEADER)
    back = dataset(folder, "back", "Binary", "the server", location=place("back/again"))
    gone = dataset(folder, "gone", "Binary", "the server", location=place("in/deep"))
    settings = {"type": "SftpReadSettings", "recursive": True, "wildcardFileName": "*.csv", "deleteFilesAfterCompletion": True}
    facts = ["exists", "itemType", "size", "lastModified", "childItems"]
    done = pipeline(
        "sftp",
        activity("first", "Lookup", dataset=one),
        activity("facts", "GetMetadata", dataset=inbox, fieldList=[facts[0], facts[1], facts[4]]),
        activity("file", "GetMetadata", dataset=one, fieldList=facts[:4]),
        copied("fetch", inbox, raw, after("first"), after("facts"), after("file"), source={"storeSettings": settings}),
        copied("convert", text, out, after("fetch")),
        copied("send", raw, back, after("fetch")),
        activity("forget", "Delete", after("fetch"), dataset=gone, enableLogging=False),
    )
    check(done)
    outputs = {name: done.xcom(name, "adf_record")["output"] for name in ("first", "facts", "file", "fetch")}
    assert outputs["first"]["firstRow"] == {"day": "d", "rows": "1"}
    children = [(one["name"], one["type"]) for one in outputs["facts"]["childItems"]]
    assert children == [("a.csv", "File"), ("b.csv", "File"), ("c.txt", "File"), ("deep", "Folder")]
    assert (outputs["file"]["size"], outputs["file"]["itemType"]) == (13, "File")
    assert outputs["file"]["lastModified"].endswith("Z")
    assert outputs["fetch"]["filesRead"] == 3
    found = {file.relative_to(tmp_path).as_posix() for root in (remote, lake) for file in root.rglob("*") if file.is_file()}
    copies = {f"{root}/{name}" for root in ("lake/raw", "remote/back/again") for name in ("a.csv", "b.csv", "deep/d.csv")}
    assert found == {"remote/in/c.txt", "remote/out/all.json", *copies}
    lines = [json.loads(line) for line in (remote / "out" / "all.json").read_text().splitlines()]
    assert [line["day"] for line in lines] == ["a", "b", "d"]
