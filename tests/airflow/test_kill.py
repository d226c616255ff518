"""What a kill does: Airflow calls ``on_kill`` in a signal handler of the task's process."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from airflow.sdk import DAG

from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.state import ClusterState, JobState
from airflow_ml_provider.operators.spark_cluster import CreateSparkClusterOperator


@pytest.fixture
def kill_when():
    """Send this process the signal that Airflow's supervisor sends to a task, once a condition holds."""
    handler = signal.getsignal(signal.SIGTERM)
    threads = []

    def arm(condition):
        def watch():
            end = time.monotonic() + 30
            while time.monotonic() < end:
                if condition():
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                time.sleep(0.01)

        threads.append(threading.Thread(target=watch))
        threads[-1].start()

    yield arm
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGTERM, handler)


def test_a_killed_task_cancels_its_job(run, service, program, kill_when):
    with DAG("killed", schedule=None) as dag, SparkCluster("etl", deferrable=False) as cluster:
        cluster.job("job", program=program, native={"steps": 10**9})
    kill_when(lambda: service.calls["poll"] > 1)
    done = run(dag)
    assert done.states["etl.job"] == "failed"
    (made,) = service.clusters.values()
    assert [job.state for job in made.jobs.values()] == [JobState.CANCELLED]


def test_a_task_killed_before_its_cluster_is_ready_starts_no_job(run, service, program, kill_when):
    with DAG("early", schedule=None) as dag, SparkCluster("etl", deferrable=False, native={"steps": 10**9}) as cluster:
        cluster.job("job", program=program)
    kill_when(lambda: service.calls["describe"] > 3)
    assert run(dag).states["etl.job"] == "failed"
    assert service.calls["submit"] == 0


def test_a_kill_between_the_request_and_its_answer_is_not_lost(run, service, program, monkeypatch):
    from airflow_ml_provider.backends.memory import MemoryBackend

    submit = MemoryBackend.submit

    def killed_while_it_submits(self, *args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        return submit(self, *args, **kwargs)

    monkeypatch.setattr(MemoryBackend, "submit", killed_while_it_submits)
    with DAG("between", schedule=None) as dag, SparkCluster("etl", deferrable=False) as cluster:
        cluster.job("job", program=program, native={"steps": 10**9})
    assert run(dag).states["etl.job"] == "failed"
    assert service.calls["cancel"] == 1


def test_a_killed_creation_leaves_no_cluster(run, service, monkeypatch):
    from airflow_ml_provider.backends.memory import MemoryBackend

    create = MemoryBackend.create

    def killed_while_it_creates(self, *args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        return create(self, *args, **kwargs)

    monkeypatch.setattr(MemoryBackend, "create", killed_while_it_creates)
    with DAG("created", schedule=None) as dag:
        CreateSparkClusterOperator(task_id="create", retries=0)
    assert run(dag).states["create"] == "failed"
    assert [cluster.state for cluster in service.clusters.values()] == [ClusterState.TERMINATED]


@pytest.mark.parametrize(("method", "asks"), [("plan_cluster", "create"), ("plan_job", "submit")])
def test_a_task_that_was_killed_before_it_asks_touches_nothing(run, service, program, monkeypatch, method, asks):
    """Airflow also ends the process of a task that it gave up: another attempt's cluster or job then bears the same token."""
    from airflow_ml_provider.backends.memory import MemoryBackend

    plan = getattr(MemoryBackend, method)

    def killed_while_it_plans(self, *args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        return plan(self, *args, **kwargs)

    with DAG(f"planned_{asks}", schedule=None) as dag, SparkCluster("etl", deferrable=False) as cluster:
        cluster.job("job", program=program)
    dag.get_task("etl.create_cluster").retries = 0
    monkeypatch.setattr(MemoryBackend, method, killed_while_it_plans)
    states = run(dag).states
    assert states["etl.create_cluster" if asks == "create" else "etl.job"] == "failed"
    assert service.calls[asks] == 0


def test_a_creation_that_is_killed_after_it_has_its_cluster_leaves_it(run, service):
    """Airflow gives a task up whose API server did not answer; the next attempt has found the cluster, and has it."""
    with DAG("late", schedule=None) as dag:
        kill = lambda context, result: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
        CreateSparkClusterOperator(task_id="create", retries=0, post_execute=kill)
    run(dag)
    assert service.calls["create"] == 1
    assert [cluster.state for cluster in service.clusters.values()] != [ClusterState.TERMINATED]
    assert service.calls["terminate"] == 0
