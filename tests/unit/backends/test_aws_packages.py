"""Archives of Python packages for machines of Amazon: for their Python, the same bytes from the same packages, made once a day."""

from __future__ import annotations

import json
import os
import socket
import zipfile
from collections.abc import Iterator
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from airflow_ml_provider.backends.aws import packages
from airflow_ml_provider.backends.aws.packages import archive, write_zip
from airflow_ml_provider.core.errors import ConfigurationError, SpecError, Unavailable
from tests.contract.programs import versioned

X86 = {"python": "3.11", "machine": "x86_64"}
TODAY, YESTERDAY = date(2026, 11, 27), date(2026, 11, 26)


def build_wheel(folder: Path, name: str, version: str = "1.0", requires: str = "") -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *filter(None, [requires])]
        made.writestr(f"{info}/METADATA", "\n".join([*lines, ""]))
        made.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture(autouse=True)
def only_these_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No index but those of a test."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheels"
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def modules(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as made:
        return {name for name in made.namelist() if name.endswith(".py")}


def pypi(requirement: str, index_url: str | None = None) -> dict[str, Any]:
    return {"kind": "pypi", "requirement": requirement, "index_url": index_url}


def test_an_archive_holds_what_uv_installs(tmp_path: Path) -> None:
    made = archive([{"kind": "wheel", "path": versioned(tmp_path, "1.0")}], python="3.9", machine="aarch64", cache=tmp_path)
    with zipfile.ZipFile(made) as found:
        assert {"versioned.py", "versioned-1.0.dist-info/METADATA"} <= {*found.namelist()}


@pytest.mark.parametrize(("python", "found"), [("3.9", {"alpha.py", "backport.py"}), ("3.11", {"alpha.py"})])
def test_conditions_are_judged_by_the_machines_python(tmp_path: Path, wheels: Path, python: str, found: set[str]) -> None:
    build_wheel(wheels, "alpha", requires='Requires-Dist: backport; python_version < "3.10"')
    build_wheel(wheels, "backport")
    assert modules(archive([pypi("alpha")], python=python, machine="x86_64", cache=tmp_path / "cache")) == found


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name, order in (("a", (1, 2)), ("b", (2, 1))):
        for number in order:
            (tmp_path / name / str(number)).mkdir(parents=True)
            (tmp_path / name / str(number) / "module.py").write_text(f"NUMBER = {number}\n")
        write_zip(tmp_path / name, tmp_path / f"{name}.zip")
        made.append((tmp_path / f"{name}.zip").read_bytes())
    assert made[0] == made[1]


def test_an_archive_is_made_once_a_day(tmp_path: Path, wheels: Path) -> None:
    build_wheel(wheels, "alpha")
    make = partial(archive, [pypi("alpha")], **X86, cache=tmp_path)
    first = make(today=YESTERDAY)
    changed = first.stat().st_mtime_ns
    build_wheel(wheels, "alpha", "2.0")
    assert make(today=YESTERDAY).stat().st_mtime_ns == changed
    second = make(today=TODAY)
    assert first != second
    assert b"2.0" in zipfile.ZipFile(second).read("alpha.py")


def test_another_set_or_machine_or_content_is_another_archive(tmp_path: Path, wheels: Path) -> None:
    build_wheel(wheels, "alpha")
    build_wheel(wheels, "beta")
    (tmp_path / "more.txt").write_text("beta\n")
    (tmp_path / "requirements.txt").write_text("alpha\n-r more.txt\n")
    listed = {"kind": "requirements", "path": str(tmp_path / "requirements.txt")}
    make = partial(archive, cache=tmp_path / "cache", today=TODAY)
    made = [make([pypi("alpha")], **X86), make([pypi("alpha")], python="3.12", machine="x86_64"), make([listed], **X86)]
    (tmp_path / "more.txt").write_text("beta==1.0\n")
    assert len({*made, make([listed], **X86)}) == 4
    assert modules(make([listed], **X86)) == {"alpha.py", "beta.py"}


def test_a_package_that_is_nowhere_is_told_in_uvs_words(tmp_path: Path) -> None:
    asked = [pypi("airflow-ml-nowhere==1", "file:///nowhere")]
    with pytest.raises(ConfigurationError, match=r"(?s)could not be installed for Python 3.11 on x86_64:\n.*airflow-ml-nowhere"):
        archive(asked, **X86, cache=tmp_path)
    with pytest.raises(SpecError, match=r"libraries: got '/nowhere.whl': No such file or directory"):
        archive([{"kind": "wheel", "path": "/nowhere.whl"}], **X86, cache=tmp_path)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An index on a port that refuses."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://user:canary-password@127.0.0.1:{bound.getsockname()[1]}/simple"


def test_an_index_that_cannot_be_reached_is_a_passing_fault(
    tmp_path: Path, wheels: Path, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older archive serves, if there is one. The message shows no password."""
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    build_wheel(wheels, "alpha")
    make = partial(archive, [pypi("alpha")], **X86, cache=tmp_path)
    first = make(today=YESTERDAY)
    monkeypatch.setenv("PIP_INDEX_URL", nobody)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert make(today=TODAY) == first
    with pytest.raises(Unavailable, match=r"(?s)could not be installed for .*: a package index cannot be reached") as raised:
        archive([pypi("beta")], **X86, cache=tmp_path)
    assert "canary" not in str(raised.value)


class _Index(SimpleHTTPRequestHandler):
    asked: list[str] = []

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """An index with ``corp``, and what it was asked for."""
    folder = tmp_path / "index" / "corp"
    build_wheel(folder, "corp", "1.0")
    (folder / "index.html").write_text('<a href="corp-1.0-py3-none-any.whl">corp-1.0-py3-none-any.whl</a>')
    handler = type("Index", (_Index,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path / "index"))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.asked
        server.shutdown()


@pytest.mark.parametrize("variable", ["PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX"])
def test_an_index_is_the_only_one_for_its_packages(
    tmp_path: Path, index: tuple[str, list[str]], nobody: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The other index would be asked first, and refuses."""
    url, asked = index
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv(variable, nobody)
    assert modules(archive([pypi("corp", url)], **X86, cache=tmp_path / "cache")) == {"corp.py"}
    assert "/corp/" in asked


def test_settings_of_pip_are_uvs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://user:word@pypi.corp/simple\ntrusted-host = pypi.corp\ntimeout = 7\n"
        "[install]\nextra-index-url =\n    https://one/simple\n    https://two/simple\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_FIND_LINKS", "/a /b")
    found = packages._environment(packages._settings_of_pip())
    assert found["UV_DEFAULT_INDEX"] == "https://user:word@pypi.corp/simple"
    assert found["UV_INDEX"] == "https://one/simple https://two/simple"
    assert (found["UV_INSECURE_HOST"], found["UV_FIND_LINKS"], found["UV_HTTP_TIMEOUT"]) == ("pypi.corp", "/a,/b", "7")


def test_a_plan_is_what_an_archive_takes() -> None:
    from airflow_ml_provider.backends.aws import libraries
    from airflow_ml_provider.core.spec import PyPI

    assert json.loads(json.dumps(libraries.packages([PyPI("holidays")]))) == [pypi("holidays")]
