"""What every backend of a service promises when calls fail. Inherit :class:`FaultContract`: it is the whole contract, and this."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from airflow_ml_provider.core.errors import AccessDenied, ServiceError, Unavailable
from airflow_ml_provider.core.spec import ClusterSpec
from airflow_ml_provider.core.state import ClusterState, JobState
from tests.contract.contract import BackendContract, token
from tests.contract.rigs import FaultyRig, until_ended, until_state
from tests.fakes.faults import OF_LOGS, PASSING, Fault

T = TypeVar("T")
NO_PERMISSION = (Fault.DENIED, Fault.EXPIRED)
NOT_DONE = (Fault.RESET, Fault.BROKEN_BEFORE, Fault.FOREIGN_ANSWER, Fault.FOREIGN_REFUSAL)
"""Faults after which the work is not done, and the client cannot know."""
WORK = (*sorted(PASSING), *NO_PERMISSION, Fault.INVISIBLE)
"""Faults that can hit a call that makes something."""
LOOKS = (*sorted(PASSING), *NO_PERMISSION, Fault.UNKNOWN_STATE)
"""Faults that can hit a call that only looks."""
ENDS = (Fault.ANSWER_LOST, Fault.BROKEN_AFTER, Fault.REFUSED, Fault.RESET, Fault.THROTTLED, Fault.DENIED)
"""Some that can hit a call that ends something."""
LOGS = (*sorted(OF_LOGS), Fault.BODY_CUT, Fault.RESET, Fault.SLOW, Fault.THROTTLED, Fault.DENIED)
"""Some that can hit a call that reads a log."""
LINES = [f"line {number} ☃" for number in range(300)]


class FaultContract(BackendContract):
    """Work is done once, a passing fault is told as such, and only errors of ``core.errors`` come out."""

    @pytest.fixture(autouse=True)
    def _works_again(self, rig: FaultyRig) -> Iterator[None]:
        rig.arm(None)
        yield
        rig.arm(None)

    def insist(self, rig: FaultyRig, fault: Fault, call: str, ask: Callable[[], T]) -> T:
        """Arm the fault and ask until there is an answer: again after :class:`Unavailable`, and as somebody else after a refusal."""
        rig.arm(fault, call)
        try:
            answer = self._answer(rig, fault, ask)
        except AccessDenied:
            assert fault in NO_PERMISSION, f"{fault} of {call} is no question of permissions"
            if fault is Fault.EXPIRED:
                rig.wait_for_claims()  # with dead credentials none can be given back
        else:
            assert fault not in NO_PERMISSION, f"{fault} of {call} was not told"
            return answer
        finally:
            rig.faults.expect_met(fault)
            rig.arm(None)
        return self._answer(rig, fault, ask)

    def _answer(self, rig: FaultyRig, fault: Fault, ask: Callable[[], T]) -> T:
        """The answer, as soon as the fault has passed."""
        deadline = time.monotonic() + rig.patience
        while True:
            try:
                return ask()
            except Unavailable as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"after {rig.patience:g} s still {error!r}") from error
                if rig.has_met(fault):
                    rig.arm(None, forget=False)
                    if fault in NOT_DONE:
                        rig.wait_for_claims()
                time.sleep(0.02)

    # work is done once

    @pytest.mark.parametrize("fault", WORK)
    def test_one_cluster_whatever_happens_to_the_call(self, rig: FaultyRig, fault: Fault) -> None:
        before, plan, mine = rig.clusters_made(), rig.backend.plan_cluster(ClusterSpec(**rig.smallest)), token()
        cluster = self.insist(rig, fault, "create", lambda: rig.backend.create(plan, token=mine))
        assert rig.backend.create(plan, token=mine) == cluster
        assert until_state(rig.backend, cluster, ["RUNNING", "FAILED"], rig.patience).state is ClusterState.RUNNING
        assert rig.clusters_made() - before == 1
        assert cluster in {item.id for item in rig.backend.owned()}
        self.end(rig, cluster)

    @pytest.mark.parametrize("fault", WORK)
    def test_one_job_and_the_right_result_whatever_happens_to_the_call(self, rig: FaultyRig, cluster: str, fault: Fault) -> None:
        before, plan, mine = rig.jobs_made(cluster), rig.backend.plan_job(rig.succeeds(7, lines=["once"])), token()
        job = self.insist(rig, fault, "submit", lambda: rig.backend.submit(cluster, plan, token=mine))
        assert rig.backend.submit(cluster, plan, token=mine) == job
        assert until_ended(rig.backend, cluster, job, rig.patience).result == 7
        assert rig.jobs_made(cluster) - before == 1
        assert rig.backend.logs(cluster, job).lines == ("once",)

    # what is not visible yet is not gone

    def test_a_cluster_that_is_not_visible_yet_is_waited_for(self, rig: FaultyRig) -> None:
        rig.arm(Fault.INVISIBLE, "create", looks=3)
        made = self.make(rig)
        rig.faults.expect_met(Fault.INVISIBLE)
        first = rig.backend.describe([made])[made]
        assert first.state in (ClusterState.UNKNOWN, ClusterState.PENDING), first
        assert until_state(rig.backend, made, ["RUNNING", "TERMINATED", "FAILED"], rig.patience).state is ClusterState.RUNNING
        self.end(rig, made)

    def test_a_cluster_that_is_not_visible_yet_takes_no_job_and_says_so(self, rig: FaultyRig) -> None:
        rig.arm(Fault.INVISIBLE, "create", looks=2)
        made, plan, mine = self.make(rig), rig.backend.plan_job(rig.succeeds(7)), token()
        with pytest.raises(Unavailable):
            rig.backend.submit(made, plan, token=mine)
        job = self._answer(rig, Fault.INVISIBLE, lambda: rig.backend.submit(made, plan, token=mine))
        assert until_ended(rig.backend, made, job, rig.patience).result == 7
        self.end(rig, made)

    def test_a_cluster_that_is_not_visible_yet_can_be_ended(self, rig: FaultyRig) -> None:
        """A teardown that follows at once must not leave it running."""
        rig.arm(Fault.INVISIBLE, "create", looks=2)
        made = self.make(rig)
        self._answer(rig, Fault.INVISIBLE, lambda: rig.backend.terminate(made))
        until_state(rig.backend, made, ["TERMINATED"], rig.patience)
        assert made not in {item.id for item in rig.backend.owned()}

    def test_a_job_that_is_not_visible_yet_is_waited_for(self, rig: FaultyRig, cluster: str) -> None:
        rig.arm(Fault.INVISIBLE, "submit", looks=3)
        job = self.run(rig, cluster, rig.succeeds(7))
        rig.faults.expect_met(Fault.INVISIBLE)
        assert not rig.backend.poll(cluster, [job])[job].state.ended
        assert until_ended(rig.backend, cluster, job, rig.patience).result == 7

    def test_a_job_that_is_not_visible_yet_can_be_cancelled(self, rig: FaultyRig, cluster: str) -> None:
        rig.arm(Fault.INVISIBLE, "submit", looks=2)
        job = self.run(rig, cluster, rig.hangs())
        self._answer(rig, Fault.INVISIBLE, lambda: rig.backend.cancel(cluster, job))
        assert until_ended(rig.backend, cluster, job, rig.patience).state is JobState.CANCELLED

    # looking

    @pytest.fixture(scope="class")
    @classmethod
    def finished(cls, rig: FaultyRig, cluster: str) -> str:
        """A job that has handed back 7."""
        job = cls.run(rig, cluster, rig.succeeds(7))
        assert until_ended(rig.backend, cluster, job, rig.patience).result == 7
        return job

    @pytest.mark.parametrize("fault", LOOKS)
    def test_a_look_that_fails_says_what_to_do_and_the_next_one_is_right(
        self, rig: FaultyRig, cluster: str, finished: str, fault: Fault
    ) -> None:
        looks: dict[str, tuple[Callable[[], Any], Any]] = {
            "describe": (lambda: rig.backend.describe([cluster])[cluster].state, ClusterState.RUNNING),
            "poll": (lambda: rig.backend.poll(cluster, [finished])[finished].result, 7),
            "owned": (lambda: cluster in {item.id for item in rig.backend.owned()}, True),
        }
        told: list[Any] = [AccessDenied] if fault in NO_PERMISSION else [Unavailable]
        if fault is Fault.UNKNOWN_STATE:
            told = [ClusterState.UNKNOWN, None, 7, True]
        for call, (look, right) in looks.items():
            rig.arm(fault, call)
            assert _seen(look) in ([right] if fault is Fault.SLOW else told), f"{fault} of {call}"
            rig.faults.expect_met(fault)
            rig.arm(None)
            assert look() == right, f"{call} after {fault}"

    @pytest.mark.parametrize("fault", ENDS)
    def test_the_end_that_is_asked_for_comes(self, rig: FaultyRig, own_cluster: str, fault: Fault) -> None:
        job = self.run(rig, own_cluster, rig.hangs())
        _until_it_runs(rig, own_cluster, job)
        self.insist(rig, fault, "cancel", lambda: rig.backend.cancel(own_cluster, job))
        assert until_ended(rig.backend, own_cluster, job, rig.patience).state is JobState.CANCELLED
        self.insist(rig, fault, "terminate", lambda: rig.backend.terminate(own_cluster))
        until_state(rig.backend, own_cluster, ["TERMINATED"], rig.patience)

    # logs

    @pytest.mark.parametrize("fault", LOGS)
    def test_a_log_that_cannot_be_read_is_told_and_nothing_of_it_is_lost(
        self, rig: FaultyRig, cluster: str, fault: Fault
    ) -> None:
        job = self.run(rig, cluster, rig.succeeds(7, lines=LINES))
        assert until_ended(rig.backend, cluster, job, rig.patience).result == 7
        rig.arm(fault, "logs")
        seen: list[str] = []
        cursor = None
        try:
            page = rig.backend.logs(cluster, job)
        except ServiceError:
            pass
        else:
            assert fault in (Fault.SLOW, Fault.LOG_TRUNCATED, Fault.LOG_CORRUPT), f"{fault} was not told"
            assert list(page.lines) == LINES[: len(page.lines)], "half a line, or another line"
            seen, cursor = list(page.lines), page.cursor
        rig.faults.expect_met(fault)
        rig.arm(None)
        assert rig.backend.poll(cluster, [job])[job].result == 7
        rest = rig.backend.logs(cluster, job, after=cursor)
        assert [*seen, *rest.lines] == LINES

    # how it is done


def _seen(look: Callable[[], Any]) -> Any:
    """What a look gives; for an error of the service its class."""
    try:
        return look()
    except ServiceError as error:
        return type(error)


def _until_it_runs(rig: FaultyRig, cluster: str, job: str) -> None:
    deadline = time.monotonic() + rig.patience
    while rig.backend.poll(cluster, [job])[job].state is not JobState.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.02)
