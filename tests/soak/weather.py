"""What a storm does to a real Airflow while DAG runs go through: calls that fail, a service that is away, processes that are killed."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from scripts.stack import Stack
from tests.fakes.faults import OF_LOGS, Fault, Faults

DAG_ID = "storm"
ANY_CALL = (Fault.THROTTLED, Fault.BROKEN_AFTER, Fault.ANSWER_LOST, Fault.BODY_CUT, Fault.SLOW)
SELDOM = (Fault.ANSWER_LATE, Fault.EXPIRED)
"""Faults that cost the client half a minute, or that only a second client survives."""
NOT_DONE = (Fault.RESET, Fault.BROKEN_BEFORE, Fault.FOREIGN_ANSWER, Fault.FOREIGN_REFUSAL)
"""After these the work is not done, and the client cannot know: some minutes must pass until it may ask anew."""
_PAUSE_OF_SELDOM, _PAUSE_OF_NOT_DONE = 10.0, 240.0


@dataclass
class Service:
    """A service under test.

    :param makes: the names of its calls that make a cluster or a job.
    :param has_tokens: a call that makes something can be repeated: the service knows it again.
    :param shows: of its calls that tell states.
    :param logs: what the names of its calls for logs end in.
    """

    faults: Faults
    makes: frozenset[str]
    shows: frozenset[str]
    logs: tuple[str, ...]
    has_tokens: bool


_MOST_TRIES = 25
"""Of a task that is killed still: one that waits for minutes would use up its 40 retries alone."""


@dataclass
class Storm:
    """Faults and kills at random, from one seed.

    :param share: of the calls that fail.
    """

    stack: Stack
    service: Service
    seed: str
    share: float = 0.08
    canaries: Iterable[str] = ()
    done: Counter[str] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)
    """Command lines that show a secret."""

    def __post_init__(self) -> None:
        self.chance, self.chance_of_calls = random.Random(self.seed), random.Random(f"{self.seed} calls")
        self._lock, self._seldom, self._not_done = threading.Lock(), 0.0, 0.0
        self._break_calls()

    def blow(self) -> None:
        """One thing that happens, and a look at what the processes show."""
        actions = (self._kill_task, self._restart_triggerer, self._restart_scheduler, self._take_service_away, self._rest)
        self.chance.choices(actions, (30, 6, 5, 12, 47))[0]()
        self._look_at_command_lines()
        time.sleep(self.chance.uniform(1, 4))

    def calm(self) -> None:
        """No more faults."""
        self.service.faults.clear()

    def _break_calls(self) -> None:
        self.service.faults.chance = self._fault

    def _fault(self, call: str) -> Fault | None:
        """The fault that hits a call, by its name and subject."""
        with self._lock:
            if self.chance_of_calls.random() > self.share:
                return None
            name = call.split(" ", 1)[0]
            kinds = list(ANY_CALL)
            if call.endswith(self.service.logs):
                kinds += OF_LOGS
            now, makes = time.monotonic(), name in self.service.makes
            if makes:
                kinds += [Fault.INVISIBLE] * 3
            if not makes or self.service.has_tokens or now - self._not_done > _PAUSE_OF_NOT_DONE:
                kinds += NOT_DONE
            if name in self.service.shows:
                kinds += [Fault.UNKNOWN_STATE] * 2
            if now - self._seldom > _PAUSE_OF_SELDOM:
                kinds += SELDOM
            fault = self.chance_of_calls.choice(sorted(kinds))
            if fault in SELDOM:
                self._seldom = now
            if makes and fault in NOT_DONE:
                self._not_done = now
            self.done[f"fault {fault}"] += 1
            return fault

    def _kill_task(self) -> None:
        running = [item for item in self._tasks("running") if item["pid"] and item["try_number"] < _MOST_TRIES]
        if not running:
            return
        item = self.chance.choice(running)
        with contextlib.suppress(psutil.NoSuchProcess):
            worker = psutil.Process(item["pid"])
            if self.stack.pid("scheduler") not in {parent.pid for parent in worker.parents()}:
                return  # the number belongs to another process by now
            for process in (*worker.children(recursive=True), worker):
                process.kill()
            self.done[f"killed task {item['task_id'].rpartition('.')[2]}"] += 1

    def _restart_triggerer(self) -> None:
        self.stack.restart("triggerer")
        self.done["killed triggerer"] += 1

    def _restart_scheduler(self) -> None:
        self.stack.restart("scheduler")
        self.done["killed scheduler"] += 1

    def _take_service_away(self) -> None:
        self.service.faults.add(Fault.REFUSED)
        time.sleep(self.chance.uniform(0.5, 4))
        self.service.faults.clear()
        self._break_calls()
        self.done["service was away"] += 1

    def _rest(self) -> None:
        """Nothing happens."""

    def _look_at_command_lines(self) -> None:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                self.seen |= {line for canary in self.canaries if canary in line}

    def _tasks(self, state: str) -> list[Mapping[str, Any]]:
        path = f"/dags/{DAG_ID}/dagRuns/~/taskInstances"
        found: list[Mapping[str, Any]] = self.stack.api.call("GET", path, params={"state": state, "limit": 100})["task_instances"]
        return found
