"""Deferred sensors keep the promises of Airflow's sensors: one timeout a try, and what soft_fail and its kin say.

The rules are those of ``BaseSensorOperator`` (airflow/sdk/bases/sensor.py): ``execute`` and ``resume_execution``.
"""

from __future__ import annotations

import time

import pytest
from airflow.sdk import DAG

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:  # Airflow 3.1
    from airflow.exceptions import TaskDeferred

from airflow_ml_provider._compat import AirflowSensorTimeout, AirflowSkipException
from airflow_ml_provider.backends.memory import MemoryBackend
from airflow_ml_provider.core.errors import AccessDenied
from airflow_ml_provider.core.spec import ClusterSpec
from airflow_ml_provider.operators.spark_cluster import CreateSparkClusterOperator
from airflow_ml_provider.sensors.spark import SparkClusterSensor

ENDED = {"outcome": "ended", "message": "", "handle": "", "note": None}


@pytest.fixture
def sensor(service, request):
    """A function that makes a deferrable sensor of a cluster that never becomes ready."""
    backend = MemoryBackend(request.node.nodeid)

    def make(**fields):
        cluster = backend.create(backend.plan_cluster(ClusterSpec(native={"steps": 10**9})), token="c")
        return SparkClusterSensor(
            task_id="ready", cluster=f"memory://spark_cluster_default/{cluster}", poke_interval=0.01, deferrable=True, **fields
        )

    return make


def deferred(call):
    with pytest.raises(TaskDeferred) as caught:
        call()
    return caught.value


def test_the_timeout_does_not_begin_anew_when_the_task_is_deferred_again(sensor):
    waits = sensor(timeout=100)
    first = deferred(lambda: waits.execute({}))
    deadline = first.trigger.deadline
    assert time.time() < deadline <= time.time() + 100
    for _ in range(3):
        again = deferred(lambda: waits.execute_complete({}, ENDED, **first.kwargs))
        assert (again.trigger.deadline, again.kwargs) == (deadline, first.kwargs)


def test_a_sensor_that_comes_back_after_its_deadline_has_timed_out(sensor):
    with pytest.raises(AirflowSensorTimeout):
        sensor(timeout=100).execute_complete({}, ENDED, deadline=time.time() - 1)


def test_a_sensor_without_time_has_a_deadline_at_once(sensor):
    try:
        deadline = deferred(lambda: sensor(timeout=0).execute({})).trigger.deadline
    except AirflowSensorTimeout:
        return
    assert deadline <= time.time()


@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
def test_a_timeout_is_a_skip_where_the_sensor_fails_softly(sensor, flag):
    with pytest.raises(AirflowSkipException):
        sensor(**{flag: True}).execute_complete({}, {"outcome": "timeout", "message": "late"})


@pytest.mark.parametrize(
    ("flag", "state"), [("soft_fail", "failed"), ("never_fail", "skipped"), ("silent_fail", "success"), (None, "failed")]
)
def test_a_look_that_fails_means_the_same_deferred(run, service, deferrable, monkeypatch, flag, state):
    """One look is denied at the start, and with silent_fail one in the middle of the wait."""
    describe, denied = MemoryBackend.describe, []

    def deny(self, clusters):
        if self.service.calls["describe"] in (3, 5) and len(denied) < 4:
            denied.append(1)
            raise AccessDenied("DescribeCluster: AccessDenied")
        return describe(self, clusters)

    monkeypatch.setattr(MemoryBackend, "describe", deny)
    with DAG(f"flags_{flag}_{deferrable}", schedule=None) as dag:
        create = CreateSparkClusterOperator(task_id="create", native={"steps": 8})
        SparkClusterSensor(
            task_id="ready",
            cluster=create.output,
            poke_interval=0.01,
            timeout=60,
            deferrable=deferrable,
            **({flag: True} if flag else {}),
        )
    assert run(dag).states["ready"] == state
    assert denied


@pytest.mark.parametrize(("flag", "state"), [("soft_fail", "skipped"), (None, "failed")])
def test_a_timeout_means_the_same_deferred(run, service, deferrable, flag, state):
    with DAG(f"late_{flag}_{deferrable}", schedule=None) as dag:
        create = CreateSparkClusterOperator(task_id="create", native={"steps": 10**9})
        SparkClusterSensor(
            task_id="ready",
            cluster=create.output,
            poke_interval=0.02,
            timeout=0.1,
            deferrable=deferrable,
            **({flag: True} if flag else {}),
        )
    assert run(dag).states["ready"] == state
