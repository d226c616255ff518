"""What a watcher of blobs remembers: exact between two looks, bounded for a triggerer that starts later."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.seen_files import SeenFiles, to_keep
from airflow_ml_provider.filesystems.matching import File


def file(name: str, modified: float | None = 0.0, size: int = 1) -> File:
    return File(f"mount://raw/{name}", size, modified)


def names(files: Any) -> list[str]:
    return [one[0].rpartition("/")[2] for one in files]


def later(files: list[File], *, deletions: bool = False) -> SeenFiles:
    """A new triggerer's, after one that has seen the files. Airflow keeps JSON."""
    kept = json.loads(json.dumps(to_keep(files, deletions=deletions)))
    seen = SeenFiles(deletions=deletions)
    seen.restore(kept.get("files"), kept.get("names"))
    return seen


def test_two_looks_differ_by_what_is_new_changed_or_gone() -> None:
    seen = SeenFiles(deletions=True)
    before = [file("same", 1.0), file("changed", 1.0), file("grown", 1.0), file("gone", 5.0, 7), file("untimed", None)]
    assert seen.update(before) == ([], {})
    now = [file("same", 1.0), file("changed", 3.0), file("grown", 1.0, 2), file("moved here", 0.5), file("untimed", None)]
    changes = seen.update(now)
    assert names(changes.new) == ["moved here", "grown", "changed"]
    assert changes.gone == {"mount://raw/gone": 7}
    assert seen.update(now) == ([], {})


def test_a_later_triggerer_misses_nothing_of_the_newest_second() -> None:
    """S3 tells whole seconds, and of a multipart upload the time at which it began: its User Guide, 'System-defined object metadata'."""
    before = [file("a", 10.0), file("b", 20.0)]
    now = [*before, file("same second", 20.0), file("began earlier", 12.0), file("newer", 21.0)]
    assert names(later(before).update(now).new) == ["began earlier", "same second", "newer"]
    assert later(now).update(now).new == []
    assert SeenFiles(deletions=False).update(now).new == []


def test_what_is_kept_is_bounded_and_nothing_is_missed_that_is_newer() -> None:
    before = [file(str(number), float(number // 10)) for number in range(20_000)]
    kept = to_keep(before, deletions=True)
    assert len(json.dumps(kept)) < 60_000
    assert kept["names"] == {}
    seen = later(before)
    now = [*before, file("same second", 1999.0), file("late", 1600.0), file("long ago", 3.0)]
    assert names(seen.update(now).new) == ["late", "same second"]


@pytest.mark.parametrize("count", [5_000, 5_001, 12_000])
def test_many_files_of_one_second_are_never_missed(count: int) -> None:
    before = [file(str(number), 7.0) for number in range(count)]
    new = set(names(later(before).update([*before, file("new", 7.0)]).new))
    assert "new" in new
    assert len(new) <= 1 + max(0, count - 5_000)


def test_a_later_triggerer_tells_what_is_gone() -> None:
    before = [file("a", 1.0, 3), file("b", 1.0)]
    assert later(before, deletions=True).update(before[1:]).gone == {"mount://raw/a": 3}


def test_little_is_held_between_two_looks() -> None:
    """150 MB it was for half a million."""
    count = 50_000
    files = [file(f"year=2024/month={number % 12}/part-{number:08d}.parquet", 1e9 + number, number) for number in range(count)]
    seen = SeenFiles(deletions=True)
    seen.update(files)
    assert seen._states is not None
    assert len(seen._states) * seen._states.itemsize == 8 * count
    assert sum(map(len, seen._names)) < 20 * count
