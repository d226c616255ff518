"""The main path: a cluster, jobs on it, and its end, run by Airflow's own task runner."""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta

import pytest
from airflow.sdk import DAG, TaskGroup, task

from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.errors import SpecError, Unavailable
from airflow_ml_provider.core.spec import Notebook, PythonFile
from airflow_ml_provider.core.state import ClusterState
from airflow_ml_provider.operators.spark_cluster import CreateSparkClusterOperator, TerminateSparkClusterOperator
from airflow_ml_provider.operators.spark_job import SparkJobOperator
from airflow_ml_provider.sensors.spark import SparkClusterSensor, SparkJobSensor


def jobs(service):
    return {job.plan["name"]: job for cluster in service.clusters.values() for job in cluster.jobs.values()}


def test_a_job_waits_for_its_cluster_and_its_result_is_the_xcom(run, service, program, deferrable):
    with DAG("result", schedule=None) as dag, SparkCluster("etl", workers=2, deferrable=deferrable) as cluster:
        cluster.job("count", program=program, native={"result": {"rows": 3}})
    done = run(dag)
    assert done.state == "success"
    assert done.xcom("etl.count") == {"rows": 3}
    (made,) = service.clusters.values()
    assert made.plan["workers"] == 2
    assert made.plan["name"] == "result"
    who = {"dag_id": "result", "run_id": done.ti("etl.count").run_id, "task_id": "etl.create_cluster"}
    assert who.items() <= made.plan["tags"].items()
    assert made.state is ClusterState.TERMINATED
    assert service.calls["create"] == service.calls["submit"] == 1


def test_templates_and_other_tasks_results_reach_the_job(run, service, program, deferrable):
    with DAG("templates", schedule=None, params={"size": 7}) as dag, SparkCluster("etl", workers="{{ params.size }}") as cluster:

        @task
        def date():
            return "2013-01-01"

        SparkJobOperator(
            task_id="job",
            cluster=cluster,
            program=PythonFile(path=program, args=["--size", "{{ params.size }}"], api="classic"),
            args=["--date", date()],
            name="job-{{ params.size }}",
            env={"SIZE": "{{ params.size }}"},
            spark_conf={"spark.x": "{{ params.size }}"},
            timeout="{{ params.size }}",
            deferrable=deferrable,
        )
    assert run(dag).state == "success"
    (cluster,) = service.clusters.values()
    assert cluster.plan["workers"] == 7
    plan = jobs(service)["job-7"].plan
    assert plan["program"] == {
        "kind": "python_file",
        "path": program,
        "args": ["--size", "7", "--date", "2013-01-01"],
        "api": "classic",
    }
    assert plan["env"]["SIZE"] == plan["spark_conf"]["spark.x"] == "7"
    assert plan["env"]["AIRFLOW_CTX_TASK_ID"] == "etl.job"
    assert plan["timeout"] == 7.0


def test_numbers_that_json_lacks_reach_a_notebook(run, service):
    """Airflow stores template fields as strict JSON: a NaN among them fails the task before it begins."""
    given = {"x": math.nan, "y": [1, {"z": -math.inf}]}
    with DAG("numbers", schedule=None) as dag, SparkCluster("etl") as cluster:
        cluster.job("show", program=Notebook(source="# Databricks notebook source\n1", parameters=given))
    assert run(dag).state == "success"
    assert '"parameters": {"x": NaN, "y": [1, {"z": -Infinity}]}' in str(jobs(service)["show"].plan).replace("\\", "")


def test_a_relative_program_starts_at_the_dag_files_folder(run, service, program, tmp_path):
    with DAG("relative", schedule=None) as dag, SparkCluster("etl") as cluster:
        cluster.job("job", program="job.py")
    (tmp_path / "dag.py").write_text("# a DAG\n")
    dag.fileloc = str(tmp_path / "dag.py")
    assert run(dag).state == "success"
    assert jobs(service)["job"].plan["program"]["path"] == program


def test_a_missing_program_is_not_retried(run, service, log):
    with DAG("missing", schedule=None, default_args={"retries": 3}) as dag, SparkCluster("etl") as cluster:
        cluster.job("job", program="/nowhere/job.py")
    done = run(dag)
    assert done.states["etl.job"] == "failed"
    assert done.ti("etl.job").try_number == 1
    assert not service.calls["submit"]
    assert "there is no file /nowhere/job.py" in log()


def test_mapped_jobs_are_jobs_of_their_own(run, service, program, deferrable):
    with DAG("mapped", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        with TaskGroup("inner"):
            first = cluster.partial("first", program=program, native={"echo": "AIRFLOW_CTX_TASK_ID"}).expand(args=[["a"], ["b"]])
        second = SparkJobOperator.partial(task_id="second", cluster=cluster, program=program).expand(args=[["c"]])
        first >> second
    done = run(dag)
    assert done.state == "success"
    assert done.xcom("etl.inner.first", map_index=1) == "etl.inner.first"
    (made,) = service.clusters.values()
    assert sorted(job.plan["program"]["args"] for job in made.jobs.values()) == [["a"], ["b"], ["c"]]


def test_setup_and_teardown_stand_around_every_task_inside(service, program):
    with DAG("wired", schedule=None) as dag:
        with SparkCluster("etl") as cluster:
            a = cluster.job("a", program=program)
            with TaskGroup("inner"):
                b = cluster.partial("b", program=program).expand(args=[["x"]])

                @task
                def free():
                    return 1

                alone = free()
            a >> b
        after = task(lambda: None, task_id="after")()
        cluster >> after
    create, terminate = dag.get_task("etl.create_cluster"), dag.get_task("etl.terminate_cluster")
    assert create.is_setup
    assert terminate.is_teardown
    assert create.downstream_task_ids == {"etl.a", "etl.inner.b", "etl.inner.free", "etl.terminate_cluster"}
    assert terminate.upstream_task_ids == {"etl.create_cluster", "etl.a", "etl.inner.b", "etl.inner.free"}
    assert after.operator.upstream_task_ids == {"etl.inner.b", "etl.inner.free"}
    assert alone.operator.upstream_task_ids == {"etl.create_cluster"}


def test_airflows_own_fields_are_those_of_any_operator(program):
    common = {"pool": "spark", "retries": 2, "execution_timeout": timedelta(hours=1)}
    with DAG("fields", schedule=None, default_args=common) as dag, SparkCluster("etl") as cluster:
        cluster.job("job", program=program)
        cluster.job("own", program=program, pool="gpu", retries=0, priority_weight=7)
    found = {task.task_id: (task.pool, task.retries, task.execution_timeout) for task in dag.tasks}
    assert set(found) == {"etl.create_cluster", "etl.job", "etl.own", "etl.terminate_cluster"}
    assert found.pop("etl.own") == ("gpu", 0, timedelta(hours=1))
    assert set(found.values()) == {("spark", 2, timedelta(hours=1))}
    assert dag.get_task("etl.own").priority_weight == 7


def test_a_failed_job_fails_the_run_and_the_cluster_still_ends(run, service, program, deferrable, log):
    native = {"outcome": "FAILED", "log": ["reading", "ValueError: no column 'x'"]}
    with DAG("failing", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        cluster.job("job", program=program, native=native)
    done = run(dag)
    assert done.state == "failed"
    assert done.states == {"etl.create_cluster": "success", "etl.job": "failed", "etl.terminate_cluster": "success"}
    (made,) = service.clusters.values()
    assert made.state is ClusterState.TERMINATED
    assert "is FAILED. The driver's last lines:\nreading\nValueError: no column 'x'" in log()


def test_a_cluster_that_never_gets_ready_fails_the_job(run, service, program, deferrable, log):
    native = {"outcome": "FAILED", "message": "no capacity", "steps": 3}
    with DAG("unready", schedule=None) as dag, SparkCluster("etl", native=native, deferrable=deferrable) as cluster:
        cluster.job("job", program=program)
    done = run(dag)
    assert done.states == {"etl.create_cluster": "success", "etl.job": "failed", "etl.terminate_cluster": "success"}
    assert not jobs(service)
    assert "is FAILED: no capacity. Clear the task that creates the cluster" in log()


def test_a_cluster_that_fails_at_once_is_asked_for_again_by_a_retry(run, service):
    native = {"outcome": "FAILED", "message": "no capacity", "steps": 0}
    with DAG("at_once", schedule=None, default_args={"retries": 1, "retry_delay": timedelta(0)}) as dag:
        CreateSparkClusterOperator(task_id="create", native=native)
    assert run(dag).state == "failed"
    assert len(service.clusters) == 2


def test_the_log_of_the_driver_is_the_log_of_the_task(run, service, program, deferrable, log):
    with DAG("logs", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        cluster.job("job", program=program, native={"log": ["line one", "line two"], "steps": 3})
    assert run(dag).state == "success"
    text = log()
    assert text.count("line one") == text.count("line two") == 1


def test_passing_faults_are_waited_out(run, service, program, deferrable, monkeypatch):
    monkeypatch.setattr("airflow_ml_provider.core.polling.MAX_BACKOFF", 0.02)
    with DAG("faults", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        cluster.job("job", program=program, native={"result": 1, "steps": 4})
    service.faults.extend(Unavailable(f"throttled {n}") for n in range(2))
    asked = Counter()

    def wire(call, subject, work):
        asked[call] += 1
        if call in ("poll", "submit") and asked[call] % 2:
            raise Unavailable("throttled")
        return work()

    service.wire = wire
    done = run(dag)
    assert done.state == "success"
    assert done.xcom("etl.job") == 1
    assert service.calls["cancel"] == 0
    assert len(jobs(service)) == 1


def test_the_execution_timeout_cancels_the_job(run, service, program, deferrable, log):
    with DAG("late", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        cluster.job("job", program=program, native={"steps": 10**9}, execution_timeout=timedelta(seconds=1))
    done = run(dag)
    assert done.states["etl.job"] == "failed"
    assert jobs(service)["job"].state == "CANCELLED"
    assert ("The time limit of the wait" if deferrable else "AirflowTaskTimeout") in log()


def test_sensors_wait_for_what_another_task_made(run, service, program, deferrable):
    with DAG("sensors", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        ready = SparkClusterSensor(task_id="ready", cluster=cluster, poke_interval=0.02)
        job = cluster.job("job", program=program, native={"result": 5})
        handle = "{{ ti.xcom_pull(task_ids='etl.job', key='job') }}"
        watch = SparkJobSensor(task_id="watch", job=handle, poke_interval=0.02)
        ready >> job >> watch
    done = run(dag)
    assert done.state == "success"
    assert done.xcom("etl.watch") == 5


def test_a_sensor_gives_up_and_cancels_nothing(run, service, program, deferrable, log):
    with DAG("impatient", schedule=None) as dag:
        create = CreateSparkClusterOperator(task_id="create", native={"steps": 10**9})
        SparkClusterSensor(task_id="ready", cluster=create.output, poke_interval=0.05, timeout=0.3, deferrable=deferrable)
    done = run(dag)
    assert done.states["ready"] == "failed"
    assert done.ti("ready").try_number == 1
    assert not service.calls["terminate"]


def test_terminate_is_fine_with_a_cluster_that_is_gone(run, service):
    with DAG("gone", schedule=None) as dag:
        once = TerminateSparkClusterOperator(task_id="once", cluster="memory://spark_cluster_default/c-gone")
        once >> TerminateSparkClusterOperator(task_id="nothing", cluster="{{ none }}")
    assert run(dag).state in ("success", "failed")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"program": "job.txt"}, "program: got 'job.txt': takes the path of a .py, .sql"),
        ({"program": "job.py", "args": "--x"}, "args: got '--x': takes a list"),
        ({"program": "job.py", "timeout": "soon"}, "JobSpec.timeout: got 'soon'"),
        ({"program": "job.py", "env": {"A": ["b"]}}, "JobSpec.env.A: got ['b']"),
        ({"program": {"kind": "python_file", "pth": "x.py"}}, "no such field"),
    ],
)
def test_a_wrong_constant_is_an_error_while_parsing(fields, message):
    with DAG("wrong", schedule=None), pytest.raises(SpecError) as caught:
        SparkJobOperator(task_id="job", cluster="{{ x }}", **fields)
    assert message in str(caught.value)


def test_a_wrong_cluster_field_is_an_error_while_parsing():
    with DAG("wrong", schedule=None), pytest.raises(SpecError, match=r"ClusterSpec.workers: got -1"):
        CreateSparkClusterOperator(task_id="create", workers=-1, max_workers="{{ params.n }}")


def test_a_wrong_rendered_field_is_not_retried(run, service, program, log):
    with DAG("rendered", schedule=None, params={"n": "many"}, default_args={"retries": 2}) as dag:
        CreateSparkClusterOperator(task_id="create", workers="{{ params.n }}")
    done = run(dag)
    assert (done.states["create"], done.ti("create").try_number) == ("failed", 1)
    assert "ClusterSpec.workers: got 'many'" in log()


@pytest.mark.parametrize("slow", ["running", "deferred", "up_for_retry"])
def test_the_cluster_outlives_a_failed_job_for_the_job_beside_it(run, service, program, slow):
    """Airflow's own scheduling decision, which differs between versions: the teardown waits for what still runs."""
    with DAG(f"healthy_{slow}", schedule=None) as dag, SparkCluster("etl") as cluster:
        jobs = [cluster.job(name, program=program) for name in ("fails", "slow", "last")]
        jobs[:2] >> jobs[2]
    done = run(dag)
    states = {"etl.fails": "failed", "etl.slow": slow, "etl.last": "upstream_failed", "etl.terminate_cluster": None}
    assert "etl.terminate_cluster" not in done.would_start(states)
    assert "etl.terminate_cluster" in done.would_start({**states, "etl.slow": "success"})
