"""What a copy does at a passing fault."""

from __future__ import annotations

import time

import pytest

from airflow_ml_provider.core.errors import AccessDenied, Unavailable
from airflow_ml_provider.filesystems.copying import _insist


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


class Call:
    """Fails some times, then answers."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left = error, times

    def __call__(self) -> str:
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return "answer"


def test_a_passing_fault_is_waited_out(slept: list[float]) -> None:
    assert _insist("raw/a", Call(ConnectionResetError("gone"), 3)) == "answer"
    assert len(slept) == 3
    assert sum(slept) < 15


def test_a_store_that_stays_away_ends_the_copy(slept: list[float]) -> None:
    with pytest.raises(Unavailable, match="mount://raw/a: ConnectionResetError: gone"):
        _insist("raw/a", Call(ConnectionResetError("gone"), 100))
    assert 60 < sum(slept) < 300


def test_a_denial_ends_the_copy_at_once(slept: list[float]) -> None:
    with pytest.raises(AccessDenied):
        _insist("raw/a", Call(PermissionError("no"), 1))
    with pytest.raises(FileNotFoundError):
        _insist("raw/a", Call(FileNotFoundError("a"), 1))
    assert not slept
