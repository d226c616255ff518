"""The shared poller: a waiter is always answered, and a service that hangs delays nobody past a deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from airflow_ml_provider.backends.memory import MemoryBackend
from airflow_ml_provider.core.errors import Unavailable
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec
from airflow_ml_provider.core.state import JobState
from airflow_ml_provider.triggers.poller import Poller, shared_poller
from airflow_ml_provider.triggers.spark import SparkTrigger
from airflow_ml_provider.triggers.threads import Lane


@dataclass(eq=False)
class Forgetful(Poller):
    """Answers for one id only."""

    def statuses(self, ids):
        return {"known": 1}


@dataclass(eq=False)
class Hung(Poller):
    """Answers once it may."""

    may: threading.Event = field(default_factory=threading.Event)
    running: int = 0

    def statuses(self, ids):
        self.running += 1
        self.may.wait(60)
        return dict.fromkeys(ids, 1)


def test_a_waiter_whose_id_the_answer_lacks_is_told_so():
    async def both():
        async with shared_poller("forgetful", Forgetful) as poller:
            return await asyncio.gather(poller.look("missing", 0.01), poller.look("known", 0.01), return_exceptions=True)

    missing, known = asyncio.run(both())
    assert isinstance(missing, Unavailable) and "lacks 'missing'" in str(missing)
    assert known == 1


def test_a_look_that_hangs_ends_with_its_deadline_and_takes_few_threads():
    async def many():
        async with shared_poller("hung", Hung) as poller:
            try:
                for _ in range(20):
                    with pytest.raises(Unavailable, match="not answered in time"):
                        await poller.look("a", 0.001, within=0.02)
                return poller.running
            finally:
                poller.may.set()

    assert asyncio.run(many()) <= 2


def test_a_service_that_answers_again_is_looked_at_again():
    async def mended():
        async with shared_poller("mended", Hung) as poller:
            with pytest.raises(Unavailable):
                await poller.look("a", 0.0, within=0.02)
            poller.may.set()
            return await poller.look("a", 0.0)

    assert asyncio.run(mended()) == 1


def test_a_call_that_hangs_keeps_its_place_and_no_other_service_s():
    may = threading.Event()

    async def calls():
        slow, quick = Lane(2), Lane(2)
        try:
            for _ in range(4):
                with pytest.raises(Unavailable, match="no answer within"):
                    await slow.run(may.wait, 60, within=0.02)
            return await quick.run(lambda: "answer")
        finally:
            may.set()

    assert asyncio.run(calls()) == "answer"


def test_a_time_limit_of_the_call_s_own_comes_out_as_it_is():
    def own_limit():
        raise TimeoutError("the socket's")

    with pytest.raises(TimeoutError, match="the socket's"):
        asyncio.run(Lane(1).run(own_limit))


def test_a_trigger_whose_service_hangs_keeps_its_deadline(service, request, monkeypatch):
    backend = MemoryBackend(request.node.nodeid)
    cluster = backend.create(backend.plan_cluster(ClusterSpec(native={"steps": 0})), token="c")
    backend.describe([cluster])
    plan = backend.plan_job(JobSpec(name="job", program={"kind": "python_code", "source": "pass"}, native={"steps": 10**9}))
    job = Handle("memory", "spark_cluster_default", cluster, backend.submit(cluster, plan, token="j"))
    may = threading.Event()
    monkeypatch.setattr(MemoryBackend, "poll", lambda *_: may.wait(60) and {})

    async def event():
        try:
            async for event in SparkTrigger(str(job), 0.01, deadline=time.time() + 0.2).run():
                return event.payload, may.is_set()
        finally:
            may.set()

    payload, answered = asyncio.run(event())
    assert (payload["outcome"], answered) == ("timeout", False)
    assert service.clusters[cluster].jobs[job.job].state is JobState.CANCELLED


def test_an_unanswered_call_keeps_no_process_from_ending():
    """Python joins the threads of its executors at exit, but no daemon thread."""
    started = threading.Event()

    def hang():
        started.set()
        time.sleep(60)

    async def call():
        with suppress(Unavailable):
            await Lane(1).run(hang, within=0.05)
        return [thread for thread in threading.enumerate() if thread.name == "airflow-ml-provider"]

    threads = asyncio.run(call())
    assert started.is_set()
    assert threads and all(thread.daemon for thread in threads)
