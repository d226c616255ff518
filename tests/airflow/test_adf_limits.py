"""Limits of time inside each other, inside Airflow's own, and around talk with the supervisor."""

from __future__ import annotations

import signal
import threading
import time
import types
from collections.abc import Callable, Iterator

import pytest
from airflow.sdk.execution_time.timeout import TimeoutPosix

from airflow_ml_provider.adf.airflow.time_limits import TimedOut, limit


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """Airflow leaves its own handler behind."""
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGALRM, before)


def seconds_until(error: type[BaseException], work: Callable[[], None]) -> float:
    started = time.monotonic()
    with pytest.raises(error):
        work()
    return time.monotonic() - started


def nothing_is_armed() -> bool:
    return signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0) and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_a_limit_interrupts_even_what_catches_everything() -> None:
    def work() -> None:
        with limit(0.1):
            for _ in range(10):
                try:
                    time.sleep(0.2)
                except Exception:  # noqa: BLE001  what libraries do
                    continue

    assert seconds_until(TimedOut, work) < 1
    assert nothing_is_armed()


def test_the_sooner_of_two_limits_counts_and_the_other_goes_on() -> None:
    def work() -> None:
        with limit(0.6) as outer:
            with pytest.raises(TimedOut) as caught, limit(0.1) as inner:
                time.sleep(5)
            assert caught.value.limit is inner
            with pytest.raises(TimedOut) as caught, limit(5):
                time.sleep(5)
            assert caught.value.limit is outer
            raise caught.value

    assert 0.5 < seconds_until(TimedOut, work) < 2
    assert nothing_is_armed()


def test_airflows_own_timeout_goes_on_around_a_limit() -> None:
    def work() -> None:
        with TimeoutPosix(0.5), limit(0.1):
            pass
        with TimeoutPosix(0.5, "Airflow's own"):
            with limit(0.2):
                time.sleep(0.1)
            time.sleep(5)

    started = time.monotonic()
    with pytest.raises(BaseException, match="Airflow's own"):
        work()
    assert 0.4 < time.monotonic() - started < 2
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_is_asked_of_the_supervisor_is_asked_to_its_end() -> None:
    comms = types.ModuleType("airflow.sdk.execution_time.comms")
    exec("import time\ndef ask(told):\n    time.sleep(0.3)\n    told.append('answered')\n", comms.__dict__)
    told: list[str] = []

    def work() -> None:
        with limit(0.1):
            comms.ask(told)
            time.sleep(5)

    assert 0.3 < seconds_until(TimedOut, work) < 2
    assert told == ["answered"]


def test_there_is_no_limit_where_no_signal_arrives() -> None:
    ended: list[str] = []

    def work() -> None:
        with limit(0.05):
            time.sleep(0.2)
        ended.append("well")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == ["well"]
