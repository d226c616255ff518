"""What a look at a thing means, and what a backend that can do nothing refuses."""

from __future__ import annotations

import random
from typing import Any

import pytest

from airflow_ml_provider.core.backend import Backend, Feature, refuse_unsupported
from airflow_ml_provider.core.errors import ClusterFailed, JobFailed, SpecError
from airflow_ml_provider.core.polling import DONE, MAX_BACKOFF, WAIT, backoff, decide_cluster, decide_job
from airflow_ml_provider.core.spec import ClusterSpec, Node
from airflow_ml_provider.core.state import ClusterState, ClusterStatus, JobState, JobStatus

CLUSTER = {
    ClusterState.PENDING: "wait",
    ClusterState.RUNNING: "done",
    ClusterState.TERMINATING: "error",
    ClusterState.TERMINATED: "error",
    ClusterState.FAILED: "error",
    ClusterState.UNKNOWN: "wait",
}
JOB = {
    JobState.PENDING: "wait",
    JobState.RUNNING: "wait",
    JobState.SUCCEEDED: "done",
    JobState.FAILED: "error",
    JobState.CANCELLED: "error",
    JobState.UNKNOWN: "wait",
}


@pytest.mark.parametrize("state", ClusterState)
def test_every_cluster_state_has_its_decision(state: ClusterState) -> None:
    decision = decide_cluster("local://c/x", ClusterStatus(state, "no room"))
    if CLUSTER[state] == "error":
        assert isinstance(decision.error, ClusterFailed)
        assert str(decision.error) == f"Cluster local://c/x is {state}: no room"
        assert state.ended
    else:
        assert decision is {"wait": WAIT, "done": DONE}[CLUSTER[state]]
        assert not state.ended


@pytest.mark.parametrize("state", JobState)
def test_every_job_state_has_its_decision(state: JobState) -> None:
    decision = decide_job("local://c/x/j", JobStatus(state))
    if JOB[state] == "error":
        assert isinstance(decision.error, JobFailed)
        assert str(decision.error) == f"Job local://c/x/j is {state}"
    else:
        assert decision is {"wait": WAIT, "done": DONE}[JOB[state]]
    assert state.ended == (JOB[state] != "wait")


def test_faults_in_a_row_are_asked_about_ever_more_rarely() -> None:
    random.seed(7)
    assert backoff(5.0, 0) == 5.0
    for faults in range(1, 40):
        ceiling = min(MAX_BACKOFF, 5.0 * 2**faults)
        assert ceiling / 2 <= backoff(5.0, faults) <= ceiling
    assert backoff(0.05, 1) >= 1.0


class Poor:
    """A service that can do nothing beyond running."""

    name = "poor"
    limits = dict.fromkeys(Feature, "it has none")
    programs: frozenset[Any] = frozenset()


ASKING: dict[str, dict[str, Any]] = {
    "driver.gpus": {"driver": Node(gpus=1)},
    "worker.gpus": {"worker": Node(gpus=1)},
    "worker.instance_type": {"worker": Node(instance_type="m6i.xlarge")},
    "driver.spot": {"driver": Node(spot=True)},
    "max_workers": {"max_workers": 4},
    "spark_version": {"spark_version": "4.2"},
    "idle_timeout": {"idle_timeout": 60},
    "max_lifetime": {"max_lifetime": 60},
}


@pytest.mark.parametrize("field", ASKING)
def test_what_a_service_cannot_honour_is_refused_by_name(field: str) -> None:
    poor: Backend = Poor()  # type: ignore[assignment]
    with pytest.raises(SpecError) as caught:
        refuse_unsupported(poor, ClusterSpec(**ASKING[field]))
    assert caught.value.problems == (f"ClusterSpec.{field}: the poor backend cannot honour it: it has none",)


def test_what_nobody_asked_for_is_not_refused() -> None:
    refuse_unsupported(Poor(), ClusterSpec(idle_timeout=None))  # type: ignore[arg-type]
