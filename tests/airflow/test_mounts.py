"""Storage by name in Airflow's tasks: connections, mounts made at run time, files, sensors, copies and assets."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, Variable, task

from airflow_ml_provider._compat import AirflowFailException
from airflow_ml_provider.assets.mount import create_asset
from airflow_ml_provider.core.errors import ConfigurationError, SpecError
from airflow_ml_provider.core.mounts import Mount
from airflow_ml_provider.hooks.mount import MountHook, resolve
from airflow_ml_provider.operators.copy import CopyBetweenMountsOperator
from airflow_ml_provider.operators.mount import MountStorageOperator, UnmountStorageOperator
from airflow_ml_provider.sensors.mount import MountFileSensor


def connect(monkeypatch: pytest.MonkeyPatch, name: str, source: Any, **extra: Any) -> None:
    """A connection of type ``mount``."""
    connection = {"conn_type": "mount", "extra": {"source": str(source), **extra}}
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder behind the mount ``raw``."""
    folder = tmp_path / "raw"
    (folder / "in").mkdir(parents=True)
    connect(monkeypatch, "raw", folder)
    return folder


def test_a_connection_goes_before_what_the_dag_says(raw: Path) -> None:
    assert resolve("raw") == (Mount("raw", str(raw)), None)
    assert resolve(Mount("raw", "s3://elsewhere/raw", "aws_default"))[0].source == str(raw)
    assert resolve(Mount("other", "/data"))[0] == Mount("other", "/data")


def test_what_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> None:
    with pytest.raises(ConfigurationError, match="mount 'nothing' does not exist: create a connection with this id"):
        resolve("nothing")
    monkeypatch.setenv("AIRFLOW_CONN_HALF", json.dumps({"conn_type": "mount", "extra": {"sorce": "/x"}}))
    with pytest.raises(ConfigurationError, match="no such field: 'sorce': takes source"):
        resolve("half")
    connect(monkeypatch, "odd", "/x", read_only="perhaps")
    with pytest.raises(ConfigurationError, match="'read_only': got 'perhaps': takes true or false"):
        resolve("odd")
    connect(monkeypatch, "lost", "s3://bucket/x", credentials_conn_id="nobody")
    with pytest.raises(ConfigurationError, match="connection 'nobody' does not exist"):
        resolve("lost")


def test_the_test_button(monkeypatch: pytest.MonkeyPatch, raw: Path) -> None:
    assert MountHook("raw").test_connection() == (True, f"{raw}: ready, 1 entries")
    connect(monkeypatch, "gone", raw / "gone")
    assert MountHook("gone").test_connection() == (
        False,
        f"{raw / 'gone'}: there is nothing there: make it, or change the source",
    )
    monkeypatch.setenv("AIRFLOW_CONN_WEB", json.dumps({"conn_type": "http"}))
    assert MountHook("web").test_connection() == (False, "connection 'web': got the type 'http': takes 'mount'")


def test_airflows_object_storage_opens_it(raw: Path, airflow_db: None) -> None:
    from airflow.sdk import ObjectStoragePath

    folder = ObjectStoragePath("mount://raw/in")
    (folder / "é ü=1").mkdir()
    written = folder / "é ü=1" / "a+b%.txt"
    with written.open("w") as file:
        file.write("hello")
    assert (raw / "in" / "é ü=1" / "a+b%.txt").read_text() == "hello"
    assert written.read_text() == "hello"
    assert written.stat().st_size == 5
    assert [path.name for path in folder.iterdir()] == ["é ü=1"]
    assert [str(path) for path in folder.glob("**/*.txt")] == [str(written)]
    written.rename(folder / "moved.txt")
    assert (folder / "moved.txt").exists() and not written.exists()
    (folder / "moved.txt").unlink()
    assert not (folder / "moved.txt").exists()


def test_a_read_only_mount_refuses_every_change(monkeypatch: pytest.MonkeyPatch, raw: Path, airflow_db: None) -> None:
    from airflow_ml_provider.filesystems.mount import MountFileSystem

    connect(monkeypatch, "fixed", raw, read_only=True)
    (raw / "a").write_text("1")
    filesystem = MountFileSystem()
    changes = [
        lambda: filesystem.open("fixed/a", "wb"),
        lambda: filesystem.open("fixed/a", "ab"),
        lambda: filesystem.pipe_file("fixed/a", b"2"),
        lambda: filesystem.rm("fixed/a"),
        lambda: filesystem.rm_file("fixed/a"),
        lambda: filesystem.mv("fixed/a", "raw/b"),
        lambda: filesystem.cp_file("raw/a", "fixed/b"),
        lambda: filesystem.makedirs("fixed/c"),
        lambda: filesystem.rmdir("fixed/in"),
        lambda: filesystem.touch("fixed/d"),
        lambda: filesystem.put_file(str(raw / "a"), "fixed/e"),
        lambda: filesystem.put(str(raw / "a"), "fixed/f"),
    ]
    for change in changes:
        with pytest.raises(OSError, match="Read-only file system") as caught:
            change()
        assert caught.value.errno == errno.EROFS
    assert filesystem.cat_file("fixed/a") == b"1"
    assert sorted(path.name for path in raw.iterdir()) == ["a", "in"]


OUT = "raw/in/../../secret.txt"
WAYS_OUT = {
    **{
        name: lambda filesystem, name=name: getattr(filesystem, name)(OUT)
        for name in (
            *("cat", "cat_file", "head", "tail", "sign", "exists", "isfile", "isdir", "size", "created", "modified", "checksum"),
            *("ukey", "du", "touch", "rm_file", "mkdir", "makedirs", "rmdir", "info", "ls", "find", "glob", "open", "rm", "stat"),
            *("read_text", "read_bytes", "listdir", "lexists", "disk_usage", "expand_path", "tree", "get_mapper", "delete"),
        )
    },
    "walk": lambda filesystem: list(filesystem.walk(OUT)),
    "pattern": lambda filesystem: filesystem.glob("raw/*/../../*.txt"),
    "pipe_file": lambda filesystem: filesystem.pipe_file(OUT, b""),
    "pipe": lambda filesystem: filesystem.pipe({OUT: b""}),
    "cat_ranges": lambda filesystem: filesystem.cat_ranges([OUT], [0], [1], on_error="raise"),
    "read_block": lambda filesystem: filesystem.read_block(OUT, 0, 1),
    "get": lambda filesystem: filesystem.get(OUT, "/tmp/none"),
    "get_file": lambda filesystem: filesystem.get_file(OUT, "/tmp/none"),
    "put": lambda filesystem: filesystem.put(__file__, OUT),
    "put_file": lambda filesystem: filesystem.put_file(__file__, OUT),
    "cp_file from": lambda filesystem: filesystem.cp_file(OUT, "raw/b"),
    "cp_file to": lambda filesystem: filesystem.cp_file("raw/in", OUT),
    "copy": lambda filesystem: filesystem.copy(OUT, "raw/b"),
    "mv from": lambda filesystem: filesystem.mv(OUT, "raw/b"),
    "mv to": lambda filesystem: filesystem.mv("raw/in", OUT),
    "rm of many": lambda filesystem: filesystem.rm(["raw/in/none", OUT]),
    "backslashes": lambda filesystem: filesystem.cat_file("raw/in\\..\\..\\secret.txt"),
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_nothing_leads_out_of_a_mount(raw: Path, way: str) -> None:
    """Whatever its store is: the path is refused before the mount is opened."""
    from airflow_ml_provider.filesystems.mount import MountFileSystem

    (raw.parent / "secret.txt").write_text("another team's")
    filesystem = MountFileSystem()
    with pytest.raises((SpecError, FileNotFoundError)) as caught:
        found = WAYS_OUT[way](filesystem)
        assert way == "get_mapper", found
        found["x"]
    assert isinstance(caught.value, SpecError), caught.value
    assert sorted(path.name for path in raw.parent.iterdir()) == ["raw", "secret.txt"]


def test_a_sensor_does_not_look_outside(raw: Path) -> None:
    with pytest.raises(AirflowFailException, match=r"takes one without '\.\.'"):
        MountFileSensor(task_id="wait", path="mount://raw/../secret.txt").poke({})


def test_object_storage_paths_stay_inside(raw: Path) -> None:
    from airflow.sdk import ObjectStoragePath

    (raw.parent / "secret.txt").write_text("another team's")
    for path in (ObjectStoragePath("mount://raw/../secret.txt"), ObjectStoragePath("mount://raw") / ".." / "secret.txt"):
        with pytest.raises((SpecError, ConfigurationError)):
            path.read_text()


def test_fsspec_finds_it_by_its_scheme(raw: Path, airflow_db: None) -> None:
    import fsspec

    with fsspec.open("mount://raw/in/x", "w") as file:
        file.write("1")
    filesystem = fsspec.filesystem("mount")
    assert filesystem.find("mount://raw") == ["raw/in/x"]
    assert [*filesystem.walk("raw")] == [("raw", ["in"], []), ("raw/in", [], ["x"])]
    assert filesystem.du("raw") == 1
    with pytest.raises(ConfigurationError, match="takes mount://<name>"):
        filesystem.ls("mount://")


def test_a_mount_made_at_run_time_is_there_for_later_tasks(run: Any, tmp_path: Path) -> None:
    with DAG("mounting", schedule=None) as dag:

        @task
        def write(uri: str) -> int:
            from airflow.sdk import ObjectStoragePath

            (ObjectStoragePath(uri) / "a.txt").write_text("made")
            return len(list(ObjectStoragePath(uri).iterdir()))

        made = MountStorageOperator(task_id="mount", name="made", source=f"file://{tmp_path}/new")
        write(made.output) >> UnmountStorageOperator(task_id="unmount", name="made")
    done = run(dag)
    assert done.state == "success"
    assert done.xcom("write") == 1
    assert (tmp_path / "new" / "a.txt").read_text() == "made"
    assert Variable.get("mount.made", default=None) is None


def test_a_wrong_mount_does_not_parse() -> None:
    with pytest.raises(SpecError, match=r"Mount.source: got 'ftp://x': takes a URI"):
        MountStorageOperator(task_id="mount", name="made", source="ftp://x")


def test_the_sensor_waits_for_files(run: Any, raw: Path, deferrable: bool) -> None:
    with DAG(f"waits_{deferrable}", schedule=None) as dag:

        @task
        def arrive(folder: str) -> None:
            for name in ("b.csv", "a.csv", "c.txt"):
                Path(folder, name).write_text(name)

        wait = MountFileSensor(
            task_id="wait", path="mount://raw/in/*.csv", min_files=2, deferrable=deferrable, poke_interval=0.1, timeout=60
        )
        arrive(str(raw / "in")) >> wait
    done = run(dag)
    assert done.state == "success"
    assert done.xcom("wait") == ["mount://raw/in/a.csv", "mount://raw/in/b.csv"]


async def _all_wait(triggers: list[Any]) -> list[Any]:
    import asyncio

    async def first(trigger: Any) -> Any:
        async for event in trigger.run():
            return event.payload

    return await asyncio.gather(*map(first, triggers))


def test_one_listing_serves_many_who_wait(raw: Path, airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from airflow_ml_provider.triggers import mount as triggers

    looks: list[int] = []
    look = triggers.FolderPoller.statuses

    def counted(self: Any, ids: Any) -> Any:
        looks.append(len(ids))
        if len(looks) == 3:
            for number in range(50):
                (raw / "in" / f"{number}.csv").write_text("")
        return look(self, ids)

    monkeypatch.setattr(triggers.FolderPoller, "statuses", counted)
    waiting = [triggers.MountFileTrigger(f"mount://raw/in/{number}.csv", 1, 0.0, 0.1) for number in range(50)]
    assert {event["outcome"] for event in asyncio.run(_all_wait(waiting))} == {"found"}
    assert len(looks) <= 4
    assert max(looks) == 50
    late = triggers.MountFileTrigger("mount://raw/in/never", 1, 0.0, 0.1, deadline=1.0)
    assert asyncio.run(_all_wait([late]))[0]["outcome"] == "timeout"


def test_copies_are_verified_and_taken_up_again(run: Any, raw: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    connect(monkeypatch, "lake", lake)
    for name in ("a.csv", "deep/b c=1.csv"):
        (raw / "in" / name).parent.mkdir(exist_ok=True)
        (raw / "in" / name).write_text(name)
    with DAG("copies", schedule=None) as dag:
        copy = CopyBetweenMountsOperator(task_id="copy", source="mount://raw/in/", target="mount://lake/{{ dag.dag_id }}")
    first = run(dag)
    assert first.state == "success"
    assert first.xcom("copy") == {"files": 2, "bytes": 19, "skipped": 0, "by_store": 2}
    assert (lake / "copies" / "deep" / "b c=1.csv").read_text() == "deep/b c=1.csv"
    (lake / "copies" / "a.csv").write_text("cut o")
    again = run(dag)
    assert again.xcom("copy")["skipped"] == 1 + ((lake / "copies" / "a.csv").read_text() == "cut o")
    with pytest.raises(SpecError, match="lies in the source"):
        _copy_into_itself()
    assert copy.template_fields == ("source", "target")


def _copy_into_itself() -> None:
    from airflow_ml_provider.filesystems.copying import Copier
    from airflow_ml_provider.filesystems.mount import MountFileSystem

    list(Copier(MountFileSystem()).copy("raw/in", "raw/in/deep"))


def test_assets_have_one_form() -> None:
    assert Asset("mount://raw//flights/2013/").uri == "mount://raw/flights/2013"
    with pytest.raises(ValueError, match="takes mount://<name>/<path>"):
        Asset("mount:///flights")
    assert create_asset(mount="raw", path="/flights/").uri == "mount://raw/flights"
    names = {create_asset(mount="raw", path=path).uri for path in ("a", "a#b", "a?b", "a?b#c")} | {Asset("mount://raw/a#b").uri}
    assert names == {"mount://raw/a", "mount://raw/a%23b", "mount://raw/a%3Fb", "mount://raw/a%3Fb%23c"}
