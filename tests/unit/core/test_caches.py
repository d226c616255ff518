"""What this machine keeps: made once, held by whoever uses it, removed by age and size otherwise."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_ml_provider.core import caches
from airflow_ml_provider.core.caches import Limits
from airflow_ml_provider.core.errors import CapacityError, ConfigurationError

DAY = 24 * 3600.0
HOLDER = """
import os, sys
from pathlib import Path
from airflow_ml_provider.core import caches
folder = Path(sys.argv[1])
assert caches.hold(folder, folder / caches.WHOLE if folder.is_dir() else None)
os.execv(sys.executable, [sys.executable, "-c", "import sys; print('held', flush=True); sys.stdin.read()"])
"""


@contextmanager
def another_process_holds(path: Path) -> Iterator[None]:
    """A process that has become another program since it asked for an entry, as a job's does."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield
        process.stdin.close()


def make(folder: Path, size: int = 1000, *, days_old: float = 0.0) -> Path:
    """An entry that another process made."""
    folder.mkdir(parents=True)
    (folder / "data").write_bytes(b"x" * size)
    (folder / caches.WHOLE).write_text(str(size))
    age(folder / caches.WHOLE, days_old)
    return folder


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def test_an_entry_is_made_by_one_while_the_others_wait(tmp_path: Path) -> None:
    made: list[int] = []

    def fill(folder: Path) -> None:
        made.append(1)
        time.sleep(0.05)
        (folder / "data").write_bytes(b"x" * 10)

    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(caches.entry(tmp_path / "python" / "a", fill))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), set(found)) == (1, {tmp_path / "python" / "a"})
    assert (tmp_path / "python" / "a" / caches.WHOLE).read_text() == "10"
    assert (tmp_path / "python" / "a").stat().st_mode & 0o077 == 0


def test_half_an_entry_is_made_anew(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        caches.entry(tmp_path / "a", fails)
    assert not (caches.entry(tmp_path / "a", lambda _: None) / "half").exists()


def test_an_entry_that_somebody_deleted_is_made_anew(tmp_path: Path) -> None:
    folder = caches.entry(tmp_path / "a", lambda _: None)
    (folder / caches.WHOLE).unlink()
    folder.rmdir()
    assert (caches.entry(folder, lambda _: None) / caches.WHOLE).exists()


def test_the_old_and_unused_is_removed(tmp_path: Path) -> None:
    old = [make(tmp_path / kind / "old", days_old=31) for kind in ("python", "maven", "packages")]
    new = [make(tmp_path / kind / "new", days_old=29) for kind in ("python", "maven", "packages")]
    half = tmp_path / "python" / "half"
    half.mkdir()
    age(half, 31)
    archive = tmp_path / "x.jsa"
    archive.write_bytes(b"x")
    age(archive, 31)
    other = tmp_path / "connectors" / "3.5.0" / "aws"
    other.mkdir(parents=True)
    age(other, 100)
    assert {*caches.sweep(tmp_path, Limits())} == {*old, half, archive}
    assert [path for path in (*old, half, archive) if path.exists()] == []
    assert all(path.exists() for path in (*new, other))
    assert [*tmp_path.glob("python/old*")] == []


def test_the_longest_unused_goes_first_beyond_the_size(tmp_path: Path) -> None:
    folders = [make(tmp_path / "python" / str(days), 1000, days_old=days) for days in (1, 2, 3, 4)]
    assert caches.sweep(tmp_path, Limits(days=30, size=2500)) == [folders[3], folders[2]]
    caches.hold(folders[1], folders[1] / caches.WHOLE)
    assert caches.sweep(tmp_path, Limits(days=30, size=1500)) == [folders[0]]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_a_living_process_uses_is_never_removed(tmp_path: Path, kind: str) -> None:
    """However old and large: a cluster runs from an environment for days."""
    path = make(tmp_path / "python" / "a") if kind == "folder" else tmp_path / "k.jsa"
    if kind == "file":
        path.write_bytes(b"x")
    with another_process_holds(path):
        age(path / caches.WHOLE if kind == "folder" else path, 100)
        assert caches.sweep(tmp_path, Limits(days=0, size=0)) == []
        assert path.exists()
    assert caches.sweep(tmp_path, Limits(days=0, size=0)) == [path]
    assert not path.exists()
    assert not caches.hold(path, path / caches.WHOLE if kind == "folder" else None)


def test_what_is_being_made_is_never_removed(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        age(folder, 100)
        assert caches.sweep(tmp_path, Limits(days=0, size=0)) == []

    assert caches.entry(tmp_path / "python" / "a", fill).exists()


def test_a_use_makes_an_entry_young_again(tmp_path: Path) -> None:
    folder = make(tmp_path / "python" / "a", days_old=100)
    assert caches.entry(folder, lambda _: pytest.fail("made again")) == folder
    assert time.time() - (folder / caches.WHOLE).stat().st_mtime < DAY


def test_a_cache_is_swept_once_an_hour_with_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(caches.DAYS_VARIABLE, "2")
    caches.sweep_at_times(tmp_path / "nothing")
    folder = make(tmp_path / "python" / "a", days_old=3)
    (tmp_path / ".swept").touch()
    caches.sweep_at_times(tmp_path)
    assert folder.exists()
    age(tmp_path / ".swept", 1)
    caches.sweep_at_times(tmp_path)
    assert not folder.exists()


def test_what_an_earlier_version_made_counts_as_used_when_it_is_first_seen(tmp_path: Path) -> None:
    folder = make(tmp_path / "python" / "a", days_old=100)
    (folder / caches.WHOLE).write_text("")
    age(folder / caches.WHOLE, 100)
    caches.sweep_at_times(tmp_path)
    age(tmp_path / ".swept", 1)
    caches.sweep_at_times(tmp_path)
    assert folder.exists()


def test_errors_of_the_disk_are_ours(tmp_path: Path) -> None:
    with (
        pytest.raises(CapacityError, match=r"No space left on device: make room, or lower AIRFLOW_ML_CACHE_GIB"),
        caches.translated_errors(tmp_path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        pytest.raises(ConfigurationError, match=r"Permission denied: /x: let this user write"),
        caches.translated_errors(tmp_path),
    ):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/x")


def test_settings() -> None:
    assert Limits.parse({}) == Limits()
    assert Limits.parse({caches.DAYS_VARIABLE: "7", caches.SIZE_VARIABLE: "0.5"}) == Limits(7.0, (1 << 30) / 2)
    for text in ("a week", "-1", "nan", "inf"):
        with pytest.raises(ConfigurationError, match=f"AIRFLOW_ML_CACHE_DAYS: expected a number of 0 or more, got '{text}'"):
            Limits.parse({caches.DAYS_VARIABLE: text})
