"""``dbutils.fs`` on folders: a storage path is no URL, whatever is in its names."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_ml_provider.core.mounts import Mount, open_mount
from airflow_ml_provider.runners.notebook.errors import Missing
from airflow_ml_provider.runners.notebook.files import FileSystem, split_path

ODD = ["#old", "a?b", "50%", "a%20b", "a b", "a+b", "[x]", "{y}", "é", "☃", "a:b", "*", '"q"', "'", "\\", "~", "&=;", "..x"]
LINK = "spark.hadoop.fs.viewfs.mounttable.default.link./mnt/"


@pytest.fixture(params=["lake", "la ke#1?"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / request.param
    folder.mkdir()
    return folder


@pytest.fixture
def fs(lake: Path) -> FileSystem:
    """As under Spark Connect: the session shows the cluster's properties, and there is no JVM."""
    links = {f"{LINK}raw": open_mount(Mount("raw", str(lake)), None).link}
    return FileSystem(SimpleNamespace(conf=SimpleNamespace(getAll=links)))


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("base", ["dbfs:/mnt/raw", "/mnt/raw", "/dbfs/mnt/raw", "file:{lake}", "file://{lake}"])
def test_each_command_touches_the_named_file_only(fs: FileSystem, lake: Path, base: str, name: str) -> None:
    base = base.format(lake=lake)
    kept = ["keep", "report", name[:1] + "_", "a", "50"]
    for one in kept:
        (lake / one).mkdir(exist_ok=True)
    odd = f"{base}/keep{name}"
    fs.mkdirs(odd)
    fs.put(f"{odd}/in{name}", "text")
    fs.cp(f"{odd}/in{name}", f"{base}/report{name}")
    fs.mv(f"{base}/report{name}", f"{base}/moved{name}")
    fs.cp(odd, f"{base}/copy{name}", recurse=True)
    assert fs.head(f"{base}/copy{name}/in{name}") == fs.head(f"{base}/moved{name}") == "text"
    found = {one.name: one for one in fs.ls(base)}
    assert set(found) == {*(f"{one}/" for one in kept), f"keep{name}/", f"moved{name}", f"copy{name}/"}
    assert fs.head(found[f"moved{name}"].path) == "text"
    assert fs.rm(found[f"keep{name}/"].path, True) and fs.rm(f"{base}/moved{name}") and fs.rm(f"{base}/copy{name}", True)
    assert sorted(path.name for path in lake.iterdir()) == sorted(set(kept))


def test_a_copy_onto_or_into_its_source_is_refused(fs: FileSystem, lake: Path) -> None:
    fs.put("/mnt/raw/in/a", "text")
    for source, target in [
        ("in", "in"),
        ("in/a", "in/a"),
        ("in/a", "in/"),
        ("in", "in/b"),
        ("in", "x/../in/b/c"),
        ("in/a", "in"),
    ]:
        for command in (fs.cp, fs.mv):
            with pytest.raises(ValueError, match="the target is the source, or lies in it"):
                command(f"/mnt/raw/{source}", f"dbfs:/mnt/raw/{target}", recurse=True)
    fs.cp("/mnt/raw/in", "/mnt/raw/in2", recurse=True)
    assert (lake / "in" / "a").read_text() == (lake / "in2" / "a").read_text() == "text"


@pytest.mark.parametrize(
    "path", ["/mnt/raw/../../etc", "dbfs:/mnt/raw/a/../../../etc", "/dbfs/../etc", "dbfs:/mnt/raw/../secret", "/mnt/.."]
)
def test_no_path_leads_out_of_a_mount(fs: FileSystem, lake: Path, path: str) -> None:
    (lake.parent / "secret").mkdir()
    for command in (fs.rm, fs.mkdirs, fs.head):
        with pytest.raises(Missing, match="is in no mount of this cluster"):
            command(path)
    assert (lake.parent / "secret").is_dir()


def test_a_relative_path_of_this_machine_is_refused(fs: FileSystem) -> None:
    with pytest.raises(ValueError, match=r"file:tmp/x: expected an absolute path"):
        fs.ls("file:tmp/x")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("s3a://bucket/a#b?c%20d", ("s3a", "bucket", "/a#b?c%20d")),
        ("abfss://c@a.dfs.core.windows.net/x:y", ("abfss", "c@a.dfs.core.windows.net", "/x:y")),
        ("FILE:/a//b", ("file", "", "/a//b")),
        ("file:///a", ("file", "", "/a")),
        ("s3a://bucket", ("s3a", "bucket", "")),
    ],
)
def test_the_parts_of_a_path(path: str, parts: tuple[str, str, str]) -> None:
    assert split_path(path) == parts
