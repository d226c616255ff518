"""The words of ``%fs`` and ``%pip``: as a shell takes them, nothing dropped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_ml_provider.runners.notebook.errors import Missing
from airflow_ml_provider.runners.notebook.files import FileSystem
from airflow_ml_provider.runners.notebook.words import file_command, words


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("rm -r /mnt/raw/keep#old # why", ["rm", "-r", "/mnt/raw/keep#old"]),
        ("install git+https://host/x.git#egg=x", ["install", "git+https://host/x.git#egg=x"]),
        ("# nothing", []),
        ("ls '/a #b' \"/c #d\" /e\\ #f", ["ls", "/a #b", "/c #d", "/e #f"]),
        ('ls "#a"', ["ls", "#a"]),
        ("install \"x[y]>=1;python_version<'4'\"\t# c", ["install", "x[y]>=1;python_version<'4'"]),
    ],
)
def test_words(line: str, found: list[str]) -> None:
    assert words(line) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ls /mnt/raw#1", ("ls", {"path": "/mnt/raw#1"})),
        ("# all\nrm -r /mnt/x\n", ("rm", {"recurse": True, "dir": "/mnt/x"})),
        ("rm /mnt/x false", ("rm", {"dir": "/mnt/x", "recurse": False})),
        ("cp --recurse=true a b", ("cp", {"recurse": True, "from_": "a", "to": "b"})),
        ("head --maxBytes=3 /a", ("head", {"maxBytes": 3, "file": "/a"})),
        ("head /a 3", ("head", {"file": "/a", "maxBytes": 3})),
        ('put /a "two words" --overwrite', ("put", {"file": "/a", "contents": "two words", "overwrite": True})),
        ("put /a text false", ("put", {"file": "/a", "contents": "text", "overwrite": False})),
        ("mounts", ("mounts", {})),
    ],
)
def test_commands(text: str, found: tuple[str, dict[str, Any]]) -> None:
    assert file_command(text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected one command in a cell, .* got 0"),
        ("rm /a\nrm /b", "expected one command in a cell, .* got 2"),
        ("rm -f /a", "%fs rm -f: takes dir, recurse"),
        ("rm /a /b", "expected true or false, got '/b'"),
        ("rm /a true /b", "%fs rm /b: takes dir, recurse"),
        ("head /a --maxBytes=many", "expected a number of bytes, got 'many'"),
        ("ls /a /b", "%fs ls /b: takes path"),
        ("chmod /a", "takes one of cp, head"),
    ],
)
def test_what_would_be_dropped_is_refused(text: str, said: str) -> None:
    with pytest.raises(Missing, match=said):
        file_command(text)


@pytest.mark.parametrize("text", ["rm -r {}/keep#old", "rm {}/keep#old true"])
def test_a_removal_takes_the_named_folder_only(tmp_path: Path, text: str) -> None:
    for name in ("keep", "keep#old"):
        (tmp_path / name).mkdir()
    command, arguments = file_command(text.format(f"file:{tmp_path}"))
    assert getattr(FileSystem(SimpleNamespace(conf=SimpleNamespace(getAll={}))), command)(**arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["keep"]
