"""What `from airflow_ml_provider import …` gives, and whether the signatures that editors show are those that count."""

from __future__ import annotations

import inspect
import subprocess
import sys
from datetime import timedelta

import pytest
from airflow.sdk import DAG
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.definitions.taskgroup import TaskGroup

import airflow_ml_provider
from airflow_ml_provider import SparkCluster, SparkJobOperator, signatures, spark_job
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Maven, PyPI, Requirements, Wheel
from airflow_ml_provider.operators.spark_cluster import CreateSparkClusterOperator

LATER = {"retry_policy", "ignore_first_depends_on_past"}
"""Arguments that not every supported Airflow has."""
NOT_FOR_USERS = {"self", "kwargs", "task_id", "sla", "multiple_outputs"}


def arguments(function):
    return set(inspect.signature(function).parameters)


def names(fields):
    return {
        name for kind in (fields, *fields.__orig_bases__) if hasattr(kind, "__annotations__") for name in kind.__annotations__
    }


def test_every_public_name_is_there_and_listed():
    assert set(airflow_ml_provider.__all__) == set(airflow_ml_provider._MODULE_OF)
    for name in airflow_ml_provider.__all__:
        assert getattr(airflow_ml_provider, name).__name__ == name
        assert name in dir(airflow_ml_provider)
    with pytest.raises(AttributeError, match="has no attribute 'SparkClutser'"):
        _ = airflow_ml_provider.SparkClutser


def test_importing_the_package_imports_nothing_of_it():
    code = (
        "import sys, airflow_ml_provider; print([name for name in sys.modules if name.split('.')[0] in ('airflow', 'pydantic')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_signatures_are_those_of_the_classes():
    assert names(signatures.ClusterFields) == set(ClusterSpec.model_fields)
    assert names(signatures.ClusterFields) <= arguments(CreateSparkClusterOperator.__init__)
    own = arguments(SparkJobOperator.__init__) - {"self", "kwargs", "cluster", "program"}
    assert set(signatures.JobFields.__annotations__) - set(signatures.TaskFields.__annotations__) == own
    assert set(signatures.ProgramFields.__annotations__) == set(signatures.PartialFields.__annotations__)


def test_the_signatures_are_those_of_this_airflow():
    tasks = arguments(BaseOperator.__init__) - NOT_FOR_USERS
    assert set(signatures.TaskFields.__annotations__) - tasks <= LATER
    assert tasks - set(signatures.TaskFields.__annotations__) <= LATER
    group = arguments(TaskGroup.__init__) - {"self", "group_id", "add_suffix_on_collision"}
    assert set(signatures.GroupFields.__annotations__) == group


@pytest.mark.parametrize(
    ("text", "library"),
    [
        ("pandas==2.2", PyPI("pandas==2.2")),
        ("holidays>=0.60,<1; python_version < '3.13'", PyPI("holidays>=0.60,<1; python_version < '3.13'")),
        ("etl @ https://host/etl-1.0-py3-none-any.whl", PyPI("etl @ https://host/etl-1.0-py3-none-any.whl")),
        ("dist/etl-1.0-py3-none-any.whl", Wheel("dist/etl-1.0-py3-none-any.whl")),
        ("requirements.txt", Requirements("requirements.txt")),
        ("org.postgresql:postgresql:42.7.4", Maven("org.postgresql:postgresql:42.7.4")),
    ],
)
def test_a_library_may_be_a_text(text, library):
    assert ClusterSpec(libraries=[text]).libraries == (library,)
    assert JobSpec(name="j", program={"kind": "python_code", "source": "pass"}, libraries=[text]).libraries == (library,)


def test_a_library_that_is_a_file_is_found_beside_the_dag(tmp_path):
    from airflow_ml_provider.operators.programs import with_files

    (tmp_path / "requirements.txt").write_text("pandas\n")
    found = with_files(["requirements.txt", "pandas"], tmp_path)
    assert found == [
        {"kind": "requirements", "path": str(tmp_path / "requirements.txt")},
        {"kind": "pypi", "requirement": "pandas"},
    ]
    with pytest.raises(SpecError, match=r"libraries: got 'lib/udfs\.jar': there is no file"):
        with_files(["lib/udfs.jar"], tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("1h30m", 5400), ("2d", 172800), ("1 h 5 s", 3605), ("90", 90), ("PT20M", 1200), ("45s", 45)],
)
def test_a_duration_may_be_a_short_text(text, seconds):
    assert ClusterSpec(idle_timeout=text).idle_timeout == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", " ", "10 minutes", "m", "0m", "-5m", "1.5h"])
def test_another_text_is_no_duration(text):
    with pytest.raises(SpecError, match=r"ClusterSpec\.idle_timeout: got "):
        ClusterSpec(idle_timeout=text)


def test_an_unknown_name_gets_the_one_that_was_meant():
    with DAG("d"), SparkCluster("c") as cluster:
        with pytest.raises(SpecError, match=r"SparkJobOperator\.progam: no such field\. Did you mean 'program'\?"):
            cluster.job("a", progam="a.py")
        with pytest.raises(SpecError, match=r"SparkJobOperator\.librarys: no such field\. Did you mean 'libraries'\?"):
            cluster.partial("b", program="a.py", librarys=[])
        with pytest.raises(SpecError, match=r"SparkJobOperator\.retry: no such field\. Did you mean 'retries'\?"):
            cluster.job("c", program="a.py", retry=2)
        with pytest.raises(SpecError, match=r"experimnt: no such field\. Did you mean 'experiment'\?"):
            spark_job(cluster=cluster, experimnt="x")
        cluster.job("good", program={"kind": "python_code", "source": "pass"}, retries=2)
    wrong = pytest.raises(SpecError, match=r"CreateSparkClusterOperator\.idle_timeot: .*Did you mean 'idle_timeout'\?")
    with DAG("e"), wrong, SparkCluster("c", idle_timeot="10m"):
        pass
