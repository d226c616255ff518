"""Copies of drivers' logs: best effort, in parts, and beside the triggerer's event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import zlib

import pytest
from airflow.sdk import DAG

from airflow_ml_provider.backends.memory import MemoryBackend
from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.errors import AccessDenied, NotFound, Unavailable
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec
from airflow_ml_provider.core.state import LogPage
from airflow_ml_provider.triggers import logs
from airflow_ml_provider.triggers.logs import LogTail, records
from airflow_ml_provider.triggers.spark import SparkTrigger

PAGE = 1000


@pytest.fixture
def driver_log(monkeypatch):
    """A function that makes a list the log of every job, in pages of 1,000 lines as a service gives them."""

    def set_lines(lines):
        def page(self, cluster, job, *, after=None):
            start = int(after or 0)
            return LogPage(tuple(lines[start : start + PAGE]), str(min(start + PAGE, len(lines))))

        monkeypatch.setattr(MemoryBackend, "logs", page)

    return set_lines


@pytest.fixture
def job(service, request):
    """A function that submits a job, and gives its handle."""
    backend = MemoryBackend(request.node.nodeid)
    cluster = backend.create(backend.plan_cluster(ClusterSpec(native={"steps": 0})), token="c")
    backend.describe([cluster])

    def submit(**native):
        plan = backend.plan_job(JobSpec(name="job", program={"kind": "python_code", "source": "pass"}, native=native))
        return Handle("memory", "spark_cluster_default", cluster, backend.submit(cluster, plan, token="j"))

    return submit


class Lines(logging.Handler):
    """What is logged, and in which threads."""

    def __init__(self):
        super().__init__()
        self.lines, self.records, self.threads = [], 0, set()

    def emit(self, record):
        self.lines += record.getMessage().splitlines()
        self.records += 1
        self.threads.add(threading.current_thread().name)


@pytest.fixture
def copied():
    """A logger's handler that keeps what is logged, and the logger."""
    logger, lines = logging.getLogger("copied"), Lines()
    logger.setLevel("INFO")
    logger.propagate = False
    logger.handlers[:] = [lines]
    return lines, logger


async def first_event(trigger):
    async for event in trigger.run():
        return event.payload
    return None


FAULTS = [
    AccessDenied("GetObject: AccessDenied. Grant s3:GetObject"),
    NotFound("NoSuchKey"),
    Unavailable("SlowDown"),
    zlib.error("bad"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_log_that_cannot_be_read_costs_no_result(run, service, program, deferrable, log, monkeypatch, fault):
    def broken(self, *args, **kwargs):
        raise fault

    monkeypatch.setattr(MemoryBackend, "logs", broken)
    with DAG("no_log", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        cluster.job("job", program=program, native={"result": 42, "steps": 4})
    done = run(dag)
    assert done.state == "success"
    assert done.xcom("etl.job") == 42
    # Once in each process: in the triggerer, and in the worker that ends the task.
    assert log().count(f"log cannot be read, and the job goes on without: {type(fault).__name__}") == (2 if deferrable else 1)


def test_a_failed_job_whose_log_cannot_be_read_says_that_it_failed(run, service, program, log, monkeypatch):
    monkeypatch.setattr(MemoryBackend, "logs", lambda *_, **__: 1 / 0)
    with DAG("failed_no_log", schedule=None) as dag, SparkCluster("etl") as cluster:
        cluster.job("job", program=program, native={"outcome": "FAILED"})
    assert run(dag).states["etl.job"] == "failed"
    assert "is FAILED" in log()


def test_a_long_log_is_copied_beside_the_loop(job, driver_log, copied, monkeypatch):
    """The loop must turn between any two parts: each record waits, in its thread, until it has."""
    lines, logger = copied
    driver_log([f"line {n}" for n in range(40_000)])
    handle = job(steps=12)
    turned, stuck = threading.Event(), []

    class Waits(logging.Handler):
        def emit(self, record):
            turned.clear()
            if not stuck and not turned.wait(20):
                stuck.append(record)

    logger.addHandler(Waits())
    trigger = SparkTrigger(str(handle), 0.01)
    monkeypatch.setattr(type(trigger), "log", logger)

    async def tick():
        while True:
            turned.set()
            await asyncio.sleep(0)

    async def watched():
        ticks = asyncio.create_task(tick())
        event = await first_event(trigger)
        ticks.cancel()
        return event

    blockbuster = pytest.importorskip("blockbuster")
    with blockbuster.blockbuster_ctx():
        event = asyncio.run(watched())
    assert event["outcome"] == "ended"
    assert not stuck
    assert threading.current_thread().name not in lines.threads
    assert event["cursor"] == str(len(lines.lines)) == "40000"
    assert lines.lines == [f"line {n}" for n in range(40_000)]
    assert lines.records <= 40_000 / 50


def test_a_job_that_prints_without_end_ends(run, service, program, deferrable, log, monkeypatch):
    pages = []

    def endless(self, cluster, job, *, after=None):
        pages.append(after)
        start = int(after or 0)
        return LogPage(tuple(f"line {n}" for n in range(start, start + PAGE)), str(start + PAGE))

    monkeypatch.setattr(MemoryBackend, "logs", endless)
    monkeypatch.setattr(logs, "LINES_AT_END", 3 * PAGE)
    with DAG("endless", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        cluster.job("job", program=program, native={"result": 1, "steps": 3})
    done = run(dag)
    assert done.xcom("etl.job") == 1
    assert len(pages) <= 3 * logs.LINES_A_LOOK / PAGE + 3 + 1
    assert f"The driver's log goes on after these {3 * PAGE} lines" in log()


@pytest.mark.parametrize("length", [5, 19, 20, 21, 70_500])
@pytest.mark.parametrize("earlier", [False, True], ids=["copied here", "copied by the triggerer"])
def test_the_last_lines_are_the_last(job, driver_log, copied, request, length, earlier):
    lines = [f"line {n}" for n in range(length)]
    driver_log(lines)
    tail = LogTail(MemoryBackend(request.node.nodeid), job(), copied[1], str(length) if earlier else None)
    tail.copy_rest()
    assert tail.last_lines() == ([] if earlier and length > 64_000 else lines[-20:])


def test_a_log_that_hangs_delays_no_job(service, job, monkeypatch):
    monkeypatch.setattr("airflow_ml_provider.triggers.spark._COPY_WITHIN", 0.01)
    may, reads = threading.Event(), []

    def hang(self, *args, **kwargs):
        reads.append(1)
        may.wait(60)
        return LogPage()

    monkeypatch.setattr(MemoryBackend, "logs", hang)

    async def event():
        try:
            return await first_event(SparkTrigger(str(job(steps=5)), 0.01))
        finally:
            may.set()

    assert asyncio.run(event())["outcome"] == "ended"
    assert len(reads) == 1


def test_records_are_few_and_not_long():
    lines = ["short"] * 250 + ["x" * 10_000] * 4 + [""]
    made = list(records(lines))
    assert "\n".join(made).split("\n") == lines
    assert len(made) < 10
    assert max(map(len, made)) <= 20_000
    assert list(records([])) == []
