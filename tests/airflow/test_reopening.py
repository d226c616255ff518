"""Rotated keys and expired sessions: a backend that is denied a call is opened again once."""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
from dataclasses import replace

import pytest

from airflow_ml_provider.backends.memory import MemoryBackend
from airflow_ml_provider.core.backend import LeavesRemains, MakesPages, ServesConnect
from airflow_ml_provider.core.errors import AccessDenied, Unavailable
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.registry import BACKENDS
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec
from airflow_ml_provider.hooks.reopening import Reopening
from airflow_ml_provider.hooks.spark_cluster import SparkClusterHook
from airflow_ml_provider.operators.waiting import Killed, SyncWait
from airflow_ml_provider.sensors.spark import SparkJobSensor
from airflow_ml_provider.triggers.spark import SparkTrigger

JOB = JobSpec(name="job", program={"kind": "python_code", "source": "pass"}, native={"result": 42, "steps": 4})


class Keys:
    """What opens the service now; each backend has the key of when it was opened."""

    valid = 1
    current = 1


KEYS = {}
"""The keys of each test's service, by the service's name."""


def sign_in(connection):
    return {"service": connection.staging_uri, "keys": KEYS[connection.staging_uri]}


class Keyed(MemoryBackend):
    """Answers a key that is valid no more as AWS does: ExpiredTokenException."""

    def __init__(self, service, keys):
        super().__init__(service)
        self.keys, self.key = keys, keys.current

    def _check(self):
        if self.key != self.keys.valid:
            self.service.calls["denied"] += 1
            raise AccessDenied("ExpiredTokenException: the security token included in the request is expired")

    def describe(self, clusters):
        self._check()
        return super().describe(clusters)

    def poll(self, cluster, jobs):
        self._check()
        return super().poll(cluster, jobs)

    def owned(self):
        self._check()
        yield from super().owned()

    def connect(self, cluster):
        self._check()
        return cluster


@pytest.fixture
def keys(monkeypatch, service, request):
    """The keys of the test's memory service, behind the connection ``spark_cluster_default``."""
    keys = Keys()
    monkeypatch.setitem(KEYS, request.node.nodeid, keys)
    entry = replace(BACKENDS["memory"], path=f"{__name__}:Keyed", sign_in=f"{__name__}:sign_in", poll_interval=0.01)
    monkeypatch.setitem(BACKENDS, "memory", entry)
    return keys


@pytest.fixture
def job(keys, request):
    """The handle of a job that runs."""
    backend = Keyed(request.node.nodeid, keys)
    cluster = backend.create(backend.plan_cluster(ClusterSpec(native={"steps": 0})), token="c")
    backend.describe([cluster])
    handle = Handle("memory", "spark_cluster_default", cluster)
    return handle.with_job(backend.submit(cluster, backend.plan_job(JOB), token="j"))


def rotate(keys):
    keys.valid = keys.current = keys.current + 1


def test_a_trigger_goes_on_after_a_rotated_key(service, keys, job):
    async def wait():
        async for event in SparkTrigger(str(job), 0.01).run():
            return event.payload["outcome"]

    async def rotated():
        waits = asyncio.create_task(wait())
        while not service.calls["poll"]:
            await asyncio.sleep(0.001)
        rotate(keys)
        return await waits

    assert asyncio.run(rotated()) == "ended"
    assert service.calls["denied"] >= 1


def test_a_waiting_task_goes_on_after_a_rotated_key(keys, job):
    backend = SparkClusterHook.for_handle(job).backend
    rotate(keys)
    assert SyncWait(Killed(backend), 0.01, logging.getLogger()).for_job(job, None).result == 42


def test_a_sensor_goes_on_after_a_rotated_key(keys, job, monkeypatch):
    for_handle, hook = SparkClusterHook.for_handle, SparkClusterHook.for_handle(job)
    assert hook.backend.describe([job.cluster])
    rotate(keys)
    monkeypatch.setattr(SparkClusterHook, "for_handle", lambda handle: hook)
    assert not SparkJobSensor(task_id="watch", job=str(job)).poke({}).is_done
    assert for_handle(job).backend.key == keys.valid


def test_the_renewal_of_a_session_goes_on_after_a_rotated_key(keys, job):
    backend = SparkClusterHook.for_handle(job).backend
    rotate(keys)
    assert backend.connect(job.cluster) == job.cluster


def test_an_iterator_is_read_before_its_answer_counts(keys, job):
    backend = SparkClusterHook.for_handle(job).backend
    rotate(keys)
    assert [found.id for found in backend.owned()] == [job.cluster]


def test_a_missing_permission_opens_the_backend_once_a_minute(service, keys, job):
    hook = SparkClusterHook.for_handle(job)
    keys.valid = None
    for _ in range(5):
        with pytest.raises(AccessDenied):
            hook.backend.poll(job.cluster, [job.job])
    assert service.calls["denied"] == 6


def test_a_log_that_is_denied_for_good_keeps_no_rotated_key_from_being_read_again(keys, job):
    class WithoutLogs(Keyed):
        def logs(self, cluster, job, *, after=None):
            raise AccessDenied("AccessDenied: s3:GetObject")

    backend = Reopening(WithoutLogs(job.cluster, keys), lambda: WithoutLogs(job.cluster, keys))
    with pytest.raises(AccessDenied):
        backend.logs(job.cluster, job.job)
    rotate(keys)
    assert backend.poll(job.cluster, [job.job])


def test_other_faults_come_out_as_they_are(service, keys, job):
    backend = SparkClusterHook.for_handle(job).backend
    service.faults.append(Unavailable("throttled"))
    with pytest.raises(Unavailable):
        backend.poll(job.cluster, [job.job])
    assert backend.poll(job.cluster, [job.job])


def test_threads_that_are_denied_together_share_what_is_opened(keys):
    opened, together = [], threading.Barrier(4)

    class Slow(Keyed):
        def describe(self, clusters):
            if self.key != self.keys.valid:
                together.wait(30)
            return super().describe(clusters)

    def open_():
        opened.append(1)
        return Slow("threads", keys)

    backend = Reopening(open_(), open_)
    rotate(keys)
    threads = [threading.Thread(target=backend.describe, args=([],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 2


def test_it_has_the_backends_capabilities_and_no_others(keys, job):
    backend = SparkClusterHook.for_handle(job).backend
    assert isinstance(backend, ServesConnect)
    assert not isinstance(backend, MakesPages)
    assert not isinstance(backend, LeavesRemains)
    assert (backend.name, backend.limits) == (MemoryBackend.name, MemoryBackend.limits)
    with pytest.raises(AttributeError):
        backend.page("c", "j")
    copy.copy(backend)


def test_a_silent_api_server_is_a_passing_fault(monkeypatch):
    """What the Task SDK raises while Airflow's API server restarts: ``airflow.sdk.execution_time.context._get_connection``."""
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse

    def silent(cls, conn_id):
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"message": "connection refused"}))

    monkeypatch.setattr(SparkClusterHook, "get_connection", classmethod(silent))
    with pytest.raises(Unavailable, match="API server does not give it"):
        SparkClusterHook.for_handle("memory://spark_cluster_default/c")
    assert not SparkJobSensor(task_id="watch", job="memory://spark_cluster_default/c/j").poke({}).is_done
