"""The trigger by itself: events, kills, faults, shared looks, and a loop that never blocks."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from airflow_ml_provider.backends.memory import MemoryBackend
from airflow_ml_provider.core.errors import AccessDenied, Unavailable
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec
from airflow_ml_provider.core.state import JobState
from airflow_ml_provider.triggers.spark import SparkTrigger

CONN = "spark_cluster_default"
FOREVER = {"steps": 10**9}


@pytest.fixture
def cluster(service, request):
    """A function that makes a cluster and jobs on it, and gives their handles."""
    backend = MemoryBackend(request.node.nodeid)

    def make(jobs=1, name="c", **native):
        id_ = backend.create(backend.plan_cluster(ClusterSpec(native=native.pop("cluster", {"steps": 0}))), token=name)
        backend.describe([id_])
        plan = backend.plan_job(JobSpec(name="job", program={"kind": "python_code", "source": "pass"}, native=native))
        home = Handle("memory", CONN, id_)
        service.calls.clear()
        return home, [home.with_job(backend.submit(id_, plan, token=f"{name}-{n}")) for n in range(jobs)]

    return make


async def first_event(trigger):
    async for event in trigger.run():
        return event.payload
    return None


def test_it_survives_serialization():
    trigger = SparkTrigger("memory://a/b/c", 2.0, deadline=3.0, cursor="4", stream_logs=False, note={"x": 1})
    path, kwargs = trigger.serialize()
    assert path == "airflow_ml_provider.triggers.spark.SparkTrigger"
    assert SparkTrigger(**kwargs).serialize() == (path, kwargs)


def test_it_fires_when_the_job_has_ended_however(service, cluster):
    for outcome in ("SUCCEEDED", "FAILED", "CANCELLED"):
        _, (job,) = cluster(name=outcome.lower(), outcome=outcome, steps=3)
        event = asyncio.run(first_event(SparkTrigger(str(job), 0.01, note={"n": 1})))
        assert event == {"outcome": "ended", "message": "", "handle": str(job), "cursor": "0", "note": {"n": 1}}


def test_it_fires_when_the_cluster_is_ready(service, cluster):
    home, _ = cluster(jobs=0, cluster={"steps": 5})
    assert asyncio.run(first_event(SparkTrigger(str(home), 0.01)))["outcome"] == "ended"


def test_the_deadline_cancels_the_job(service, cluster):
    home, (job,) = cluster(**FOREVER)
    event = asyncio.run(first_event(SparkTrigger(str(job), 0.01, deadline=time.time() + 0.1)))
    assert event["outcome"] == "timeout"
    assert event["message"] == f"The time limit of the wait for {job} has passed: it was cancelled"
    assert service.clusters[home.cluster].jobs[job.job].state is JobState.CANCELLED


def test_a_watcher_cancels_nothing(service, cluster):
    _, (job,) = cluster(**FOREVER)
    asyncio.run(first_event(SparkTrigger(str(job), 0.01, deadline=time.time() + 0.1, cancels=False)))
    asyncio.run(SparkTrigger(str(job), 0.01, cancels=False).on_kill())
    assert service.calls["cancel"] == 0


def test_a_users_kill_cancels_also_through_passing_faults(service, cluster, monkeypatch):
    monkeypatch.setattr("airflow_ml_provider.triggers.spark._CANCEL_PAUSE", 0.01)
    home, (job,) = cluster(**FOREVER)
    service.faults.extend([Unavailable("1"), Unavailable("2")])
    asyncio.run(SparkTrigger(str(job), 0.01).on_kill())
    assert service.clusters[home.cluster].jobs[job.job].state is JobState.CANCELLED


@pytest.fixture
def airflow_says(monkeypatch):
    """A function that sets what Airflow's API server tells of the trigger's task: its state, and the job that it waits for."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from airflow.sdk.execution_time.xcom import XCom

    def say(trigger, state, job):
        trigger.task_instance = SimpleNamespace(dag_id="d", task_id="job", run_id="run", map_index=2)
        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", lambda **asked: {"run": {"job_2": state}})
        monkeypatch.setattr(XCom, "get_one", lambda **asked: job)

    return say


TOLD = pytest.mark.parametrize(
    ("state", "same_job", "cancels"),
    [("failed", True, True), (None, False, True), ("deferred", False, True), ("deferred", True, False)],
    ids=["marked", "cleared", "cleared and deferred again", "another triggerer took over"],
)


@TOLD
def test_a_kill_cancels_unless_another_triggerer_took_over(service, cluster, airflow_says, state, same_job, cancels):
    _, (job,) = cluster(**FOREVER)
    trigger = SparkTrigger(str(job), 0.01)
    airflow_says(trigger, state, str(job) if same_job else None)
    asyncio.run(trigger.on_kill())
    assert service.calls["cancel"] == cancels


def test_a_kill_that_airflow_cancels_again_and_again_still_cancels_the_job(service, cluster, monkeypatch):
    """Airflow 3.3's triggerer cancels a trigger each second until it has stopped, also inside ``on_kill``."""
    cancel = MemoryBackend.cancel

    def slow_cancel(self, *args):
        time.sleep(0.2)
        cancel(self, *args)

    monkeypatch.setattr(MemoryBackend, "cancel", slow_cancel)
    home, (job,) = cluster(**FOREVER)

    async def impatient():
        kill = asyncio.create_task(SparkTrigger(str(job), 0.01).on_kill())
        for _ in range(3):
            await asyncio.sleep(0.02)
            kill.cancel()
        await asyncio.sleep(0.4)

    asyncio.run(impatient())
    assert service.clusters[home.cluster].jobs[job.job].state is JobState.CANCELLED


@TOLD
def test_before_airflow_33_a_cancelled_trigger_asks_who_ended_it(
    service, cluster, airflow_says, monkeypatch, state, same_job, cancels
):
    from airflow.triggers.base import BaseTrigger

    monkeypatch.delattr(BaseTrigger, "on_kill", raising=False)
    _, (job,) = cluster(**FOREVER)

    async def cancelled():
        trigger = SparkTrigger(str(job), 0.01)
        airflow_says(trigger, state, str(job) if same_job else None)
        task = asyncio.create_task(first_event(trigger))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert service.calls["cancel"] == cancels


def test_a_stopping_triggerer_cancels_nothing(service, cluster):
    home, (job,) = cluster(**FOREVER)

    async def stopped():
        trigger = SparkTrigger(str(job), 0.01)
        task = asyncio.create_task(first_event(trigger))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await trigger.cleanup()

    asyncio.run(stopped())
    assert service.clusters[home.cluster].jobs[job.job].state is not JobState.CANCELLED
    assert service.calls["cancel"] == 0


def test_passing_faults_are_waited_out(service, cluster, monkeypatch):
    monkeypatch.setattr("airflow_ml_provider.core.polling.MAX_BACKOFF", 0.02)
    _, (job,) = cluster(steps=2)
    service.faults.extend(Unavailable(str(n)) for n in range(5))
    assert asyncio.run(first_event(SparkTrigger(str(job), 0.01)))["outcome"] == "ended"


def test_another_fault_is_told_and_cancels_nothing(service, cluster):
    _, (job,) = cluster(**FOREVER)
    service.faults.extend([AccessDenied("DescribeStep is not allowed")] * 2)  # once more after the backend was opened again
    event = asyncio.run(first_event(SparkTrigger(str(job), 0.01)))
    assert (event["outcome"], event["message"]) == ("error", "DescribeStep is not allowed")
    assert service.calls["cancel"] == 0


def test_an_unforeseen_fault_is_told(service, cluster):
    _, (job,) = cluster(**FOREVER)
    service.faults.append(RuntimeError("what"))
    event = asyncio.run(first_event(SparkTrigger(str(job), 0.01)))
    assert (event["outcome"], event["message"]) == ("error", f"The wait for {job} failed: RuntimeError: what")


def test_triggers_on_one_cluster_share_their_looks(service, cluster):
    jobs = [job for n in range(5) for job in cluster(jobs=20, name=f"c{n}", **FOREVER)[1]]
    service.calls.clear()

    async def wait_for_all():
        tasks = [asyncio.create_task(first_event(SparkTrigger(str(job), 0.2, stream_logs=False))) for job in jobs]
        await asyncio.sleep(2.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(wait_for_all())
    looks_of_one_job = 2.0 / 0.2
    assert 0 < service.calls["poll"] <= len(jobs) * looks_of_one_job / 10


def test_triggers_on_clusters_of_one_connection_share_their_looks(service, cluster):
    clusters = [cluster(jobs=0, name=f"c{n}", cluster={"steps": 3})[0] for n in range(20)]
    service.calls.clear()

    async def wait_for_all():
        return await asyncio.gather(*(first_event(SparkTrigger(str(home), 0.1)) for home in clusters))

    events = asyncio.run(wait_for_all())
    assert {event["outcome"] for event in events} == {"ended"}
    assert service.calls["describe"] <= 4


def test_a_cancelled_trigger_takes_nobody_elses_answer_away(service, cluster):
    _, jobs = cluster(jobs=3, steps=20)

    async def one_is_cancelled():
        tasks = [asyncio.create_task(first_event(SparkTrigger(str(job), 0.02))) for job in jobs]
        await asyncio.sleep(0.15)
        tasks[0].cancel()
        return await asyncio.wait_for(asyncio.gather(*tasks[1:]), timeout=10)

    assert {event["outcome"] for event in asyncio.run(one_is_cancelled())} == {"ended"}


def test_the_loop_is_never_blocked(service, cluster, monkeypatch):
    blockbuster = pytest.importorskip("blockbuster")
    poll = MemoryBackend.poll

    def slow_poll(self, *args):
        time.sleep(0.05)
        return poll(self, *args)

    monkeypatch.setattr(MemoryBackend, "poll", slow_poll)
    _, (job,) = cluster(steps=3, log=["x"])
    with blockbuster.blockbuster_ctx():
        event = asyncio.run(first_event(SparkTrigger(str(job), 0.01)))
    assert event["outcome"] == "ended"
