"""Work is done once: dead workers, failed jobs and a user's Clear, on the memory backend.

A dead worker is told by its trace: the same task tried once more, while the service knows all that was asked before.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from airflow.sdk import DAG

from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.state import ClusterState, JobState
from airflow_ml_provider.operators.spark_cluster import CreateSparkClusterOperator
from airflow_ml_provider.operators.spark_job import SparkJobOperator

RETRIES = {"retries": 2, "retry_delay": timedelta(0)}


def all_jobs(service):
    return [job for cluster in service.clusters.values() for job in cluster.jobs.values()]


@pytest.fixture
def finished(run, service, program, deferrable):
    """A run whose one job succeeded, on a cluster that lives on."""
    with DAG(f"once_{deferrable}", schedule=None, default_args=RETRIES) as dag:
        create = CreateSparkClusterOperator(task_id="create")
        SparkJobOperator(task_id="job", cluster=create.output, program=program, native={"result": 3}, deferrable=deferrable)
    done = run(dag)
    assert done.state == "success"
    return done


def test_a_worker_that_died_is_followed_by_one_that_finds_the_result(finished, service):
    """Cases (a) and (c) of a job: the service had answered, nobody noted it."""
    finished.run_again("job", cleared=False)
    assert finished.xcom("job") == 3
    assert len(all_jobs(service)) == 1


def test_the_result_is_found_though_the_cluster_has_ended(finished, service):
    (made,) = service.clusters.values()
    made.end("idle")
    finished.run_again("job", cleared=False)
    assert finished.ti("job").state == "success"
    assert len(all_jobs(service)) == 1


def test_a_worker_that_died_while_the_job_ran_is_followed_by_one_that_waits_for_it(finished, service):
    """Case (b)."""
    (job,) = all_jobs(service)
    job.state, job.looks = JobState.RUNNING, 0
    finished.run_again("job", cleared=False)
    assert finished.ti("job").state == "success"
    assert len(all_jobs(service)) == 1


def test_a_cleared_task_runs_again_once(finished, service):
    """Case (e)."""
    finished.run_again("job", cleared=True)
    assert finished.ti("job").state == "success"
    assert len(all_jobs(service)) == 2
    finished.run_again("job", cleared=False)
    assert len(all_jobs(service)) == 2
    finished.run_again("job", cleared=True)
    assert len(all_jobs(service)) == 3


def test_a_worker_that_died_while_it_created_is_followed_by_one_that_finds_the_cluster(finished, service):
    """Case (a) of a cluster."""
    finished.run_again("create", cleared=False)
    assert len(service.clusters) == 1


def test_a_cluster_that_has_ended_is_followed_by_another_one(finished, service):
    next(iter(service.clusters.values())).end("idle")
    finished.run_again("create", cleared=False)
    assert [cluster.state for cluster in service.clusters.values()] == [ClusterState.TERMINATED, ClusterState.RUNNING]


def test_a_cleared_create_finds_the_cluster_that_lives(finished, service):
    """Airflow clears a setup task with each task that it serves, while others still run on its cluster."""
    before = finished.xcom("create")
    finished.run_again("create", cleared=True)
    assert finished.xcom("create") == before
    assert len(service.clusters) == 1


def test_a_cleared_create_makes_another_cluster_when_the_first_has_ended(finished, service):
    (made,) = service.clusters.values()
    made.end("terminated on request")
    finished.run_again("create", cleared=True)
    assert len(service.clusters) == 2


def test_the_teardown_ends_every_cluster_of_the_run_and_no_other(run, service, program, deferrable):
    """A changed spec makes another cluster after a Clear; the first one must not outlive the run."""
    with DAG("siblings", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        cluster.job("job", program=program)
    done = run(dag)
    ((_, made),) = service.clusters.items()
    service.clusters |= {
        "c-before-the-clear": replace(made, state=ClusterState.RUNNING),
        "c-of-another-run": replace(
            made, state=ClusterState.RUNNING, plan={**made.plan, "tags": {**made.plan["tags"], "run_key": "x"}}
        ),
    }
    done.run_again("etl.terminate_cluster", cleared=False)
    assert service.clusters["c-before-the-clear"].state is ClusterState.TERMINATED
    assert service.clusters["c-of-another-run"].state is ClusterState.RUNNING


def test_each_retry_after_a_failed_job_starts_one(run, service, program, deferrable):
    """Case (d)."""
    with DAG("retries", schedule=None, default_args=RETRIES) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        cluster.job("job", program=program, native={"outcome": "FAILED", "message": "boom"})
    done = run(dag)
    assert done.states["etl.job"] == "failed"
    assert len(all_jobs(service)) == 3
    assert len(service.clusters) == 1


def test_a_failed_job_whose_task_is_cleared_starts_one(run, service, program, deferrable):
    with DAG("mended", schedule=None, default_args={"retries": 1, "retry_delay": timedelta(0)}) as dag:
        create = CreateSparkClusterOperator(task_id="create")
        SparkJobOperator(
            task_id="job", cluster=create.output, program=program, native={"outcome": "FAILED"}, deferrable=deferrable
        )
    done = run(dag)
    assert len(all_jobs(service)) == 2
    dag.get_task("job").native = {"result": 4}
    done.run_again("job", cleared=True)
    assert done.xcom("job") == 4
    assert len(all_jobs(service)) == 3


def test_mapped_tasks_do_not_share_jobs(run, service, program):
    with DAG("mapped_once", schedule=None, default_args=RETRIES) as dag, SparkCluster("etl") as cluster:
        cluster.partial("job", program=program).expand(args=[["a"], ["b"], ["c"]])
    assert run(dag).state == "success"
    assert len(all_jobs(service)) == 3
