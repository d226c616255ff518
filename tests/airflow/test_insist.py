"""Tasks that make and end clusters hold out: passing faults, denied lists, clusters that are gone at once."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

import pytest
from airflow.sdk import DAG

from airflow_ml_provider.backends.memory import MemoryBackend
from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.errors import AccessDenied, ClusterFailed, SpecError, Unavailable
from airflow_ml_provider.core.identity import Work
from airflow_ml_provider.core.spec import ClusterSpec
from airflow_ml_provider.core.state import ClusterState, ClusterStatus
from airflow_ml_provider.operators.base import INSIST_FOR, insist
from airflow_ml_provider.operators.spark_cluster import CreateSparkClusterOperator, TerminateSparkClusterOperator

WORK = Work("d", "r", "2026-01-01", "create", -1, epoch=2)
log = logging.getLogger(__name__)


@pytest.fixture
def short_pauses(monkeypatch):
    monkeypatch.setattr("airflow_ml_provider.core.polling.MAX_BACKOFF", 0.02)


def test_a_call_is_repeated_for_as_long_as_it_says(short_pauses, caplog):
    calls, begun = [], time.monotonic()

    def fail():
        calls.append(time.monotonic() - begun)
        raise Unavailable("throttled")

    with caplog.at_level("WARNING"), pytest.raises(Unavailable, match="throttled"):
        insist(fail, log=log, within=0.2)
    assert calls[-1] >= 0.2
    assert len(caplog.records) == len(calls) - 1
    assert INSIST_FOR >= 480


def test_only_a_passing_fault_is_worth_a_repeat():
    calls = []

    def fail():
        calls.append(1)
        raise SpecError("no")

    with pytest.raises(SpecError):
        insist(fail, log=log)
    assert len(calls) == 1


def test_without_time_a_call_is_made_once():
    calls = []

    def fail():
        calls.append(1)
        raise Unavailable("throttled")

    with pytest.raises(Unavailable):
        insist(fail, log=log, within=0)
    assert len(calls) == 1


def ask(backend, work=WORK):
    return CreateSparkClusterOperator(task_id="create")._ask(backend, backend.plan_cluster(ClusterSpec()), {}, work)


class GoneAtOnce(MemoryBackend):
    """Each cluster is described as gone, and has never run."""

    def describe(self, clusters):
        return dict.fromkeys(clusters, ClusterStatus(ClusterState.TERMINATED, "instance failure"))


class NotVisible(MemoryBackend):
    """The service does not show yet what it has just made."""

    def describe(self, clusters):
        return dict.fromkeys(clusters, ClusterStatus(ClusterState.UNKNOWN, "c is not visible yet"))


@pytest.mark.parametrize(("prior_tries", "most"), [(0, 3), (2, 5)])
def test_an_attempt_makes_few_clusters_that_are_gone_at_once(request, prior_tries, most):
    backend = GoneAtOnce(request.node.nodeid)
    with pytest.raises(
        ClusterFailed, match=r"clusters were gone before they ran; the last one, .* is TERMINATED: instance failure"
    ):
        ask(backend, Work("d", "r", "2026-01-01", "create", -1, epoch=2, prior_tries=prior_tries))
    assert len(backend.service.clusters) == most


def test_a_cluster_that_is_not_visible_yet_is_the_cluster(request):
    backend = NotVisible(request.node.nodeid)
    assert ask(backend) == ask(backend) == f"c-{WORK.token()}"
    assert len(backend.service.clusters) == 1


def test_clusters_that_have_run_and_ended_are_passed_over_however_many(request):
    backend = MemoryBackend(request.node.nodeid)
    plan = backend.plan_cluster(ClusterSpec(native={"steps": 0}))
    for generation in range(20):
        made = backend.create(plan, token=WORK.token(generation))
        backend.describe([made])
        backend.terminate(made)
    assert ask(backend) == f"c-{WORK.token(20)}"


def test_the_teardown_ends_its_cluster_though_it_may_not_list_others(run, service, program, log, monkeypatch):
    def denied(self):
        raise AccessDenied("ListClusters: AccessDenied")
        yield

    monkeypatch.setattr(MemoryBackend, "owned", denied)
    with DAG("may_not_list", schedule=None) as dag, SparkCluster("etl") as cluster:
        cluster.job("job", program=program)
    done = run(dag)
    assert set(done.states.values()) == {"success"}
    assert [made.state for made in service.clusters.values()] == [ClusterState.TERMINATED]
    assert "cannot be listed" in log()


def test_the_teardown_ends_the_run_s_other_clusters_though_its_own_will_not_end(run, service, program, log, monkeypatch, request):
    with DAG("stubborn", schedule=None) as dag, SparkCluster("etl", retries=0) as cluster:
        cluster.job("job", program=program)
    done = run(dag)
    (own,) = service.clusters
    service.clusters[own].state = ClusterState.RUNNING
    other = MemoryBackend(request.node.nodeid).create(service.clusters[own].plan, token="from-before-a-clear")
    terminate = MemoryBackend.terminate

    def refuse(self, cluster):
        if cluster == own:
            raise AccessDenied("TerminateJobFlows: AccessDenied")
        terminate(self, cluster)

    monkeypatch.setattr(MemoryBackend, "terminate", refuse)
    done.run_again("etl.terminate_cluster", cleared=False)
    assert service.clusters[other].state is ClusterState.TERMINATED
    assert f"1 clusters could not be asked to end:\n{own}: TerminateJobFlows: AccessDenied" in log()


def test_the_tasks_around_the_jobs_have_retries_of_their_own(program):
    with DAG("own_retries", schedule=None), SparkCluster("etl") as cluster:
        job = cluster.job("job", program=program)
    for task in (cluster.create, job.get_dag().get_task("etl.terminate_cluster")):
        assert task.retries >= 2
        assert task.retry_delay <= timedelta(minutes=1)
    assert job.retries == 0


@pytest.mark.parametrize("retries", [0, 1, 7])
def test_the_user_s_retries_hold(program, retries):
    with DAG("users_retries", schedule=None, default_args={"retries": retries}) as dag:
        with SparkCluster("etl", retries=retries) as cluster:
            cluster.job("job", program=program)
        create = CreateSparkClusterOperator(task_id="create")
        TerminateSparkClusterOperator(task_id="terminate", cluster=create.output)
        CreateSparkClusterOperator(task_id="own", retries=4)
    assert {task.task_id: task.retries for task in dag.tasks} == {
        **dict.fromkeys(("etl.create_cluster", "etl.job", "etl.terminate_cluster", "create", "terminate"), retries),
        "own": 4,
    }
