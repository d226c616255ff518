"""``@task.spark_job``, and the program that it ships."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys

import pytest
from airflow.sdk import DAG, task

from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.errors import SpecError


def plans(service):
    return [job.plan for cluster in service.clusters.values() for job in cluster.jobs.values()]


def run_program(plan, tmp_path):
    """Run a shipped program with a stand-in for pyspark, and give what it hands back."""
    package = tmp_path / "pyspark"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / "sql.py").write_text(
        "class SparkSession:\n    class builder:\n        getOrCreate = staticmethod(lambda: 'session')\n"
    )
    env = {"PYTHONPATH": str(tmp_path), "AIRFLOW_ML_RESULT": str(tmp_path / "result")}
    done = subprocess.run([sys.executable, "-c", plan["program"]["source"]], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads((tmp_path / "result").read_text())


def test_the_body_runs_on_the_cluster_with_spark_and_its_arguments(run, service, deferrable, tmp_path):
    with DAG("body", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:

        @task
        def rows():
            return [1, 2]

        @task.spark_job(cluster=cluster, native={"result": {"sum": 3}}, api="classic")
        def total(spark, numbers: list[int], factor=1, *, run_id=None, **others):
            # a comment
            return {"spark": spark, "sum": factor * sum(numbers), "run": run_id, "others": others}

        total(rows(), factor=2, extra="e")
    done = run(dag)
    assert done.state == "success"
    assert done.xcom("etl.total") == {"sum": 3}
    (plan,) = plans(service)
    assert plan["name"] == "total"
    assert plan["program"]["api"] == "classic"
    run_id = done.ti("etl.total").run_id
    assert run_program(plan, tmp_path) == {"spark": "session", "sum": 6, "run": run_id, "others": {"extra": "e"}}


def test_a_function_may_do_without_spark_and_return_nothing(run, service, tmp_path):
    with DAG("bare", schedule=None) as dag, SparkCluster("etl") as cluster:

        @task.spark_job(cluster=cluster)
        def bare():
            import sys

            assert "pyspark" not in sys.modules

        bare()
    assert run(dag).state == "success"
    assert run_program(plans(service)[0], tmp_path) is None


def test_it_expands(run, service, deferrable, tmp_path):
    with DAG("expands", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:

        @task
        def numbers():
            return [1, 2]

        @task.spark_job(cluster=cluster, native={"result": 1})
        def double(number, by):
            return number * by

        @task.spark_job(cluster=cluster)
        def gather(results):
            return results

        gather(double.partial(by=2).expand(number=numbers()))
    done = run(dag)
    assert done.state == "success"
    found = {plan["name"]: [] for plan in plans(service)}
    for plan in plans(service):
        found[plan["name"]].append(run_program(plan, tmp_path))
    assert sorted(found["double"]) == [2, 4]
    assert found["gather"] == [[1, 1]]


def test_an_argument_that_is_no_json_is_named(run, service, log):
    with DAG("no_json", schedule=None, default_args={"retries": 2}) as dag, SparkCluster("etl") as cluster:

        @task.spark_job(cluster=cluster)
        def job(day):
            return day

        job(datetime.date(2013, 1, 1))
    done = run(dag)
    assert (done.states["etl.job"], done.ti("etl.job").try_number) == ("failed", 1)
    assert "@task.spark_job job: argument 'day': takes a JSON value: got date" in log()


def test_a_return_value_that_is_no_json_is_told(run, service, tmp_path):
    with DAG("no_json_back", schedule=None) as dag, SparkCluster("etl") as cluster:

        @task.spark_job(cluster=cluster)
        def job():
            return {1, 2}

        job()
    run(dag)
    with pytest.raises(RuntimeError, match="the return value of job is no JSON: Object of type set"):
        run_program(plans(service)[0], tmp_path)


def test_parameters_without_a_name_are_refused():
    with DAG("nameless", schedule=None), pytest.raises(SpecError, match="takes parameters that have a name"):

        @task.spark_job(cluster="{{ x }}")
        def job(*args):
            return args

        job(1)
