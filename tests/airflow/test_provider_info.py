"""What Airflow sees of the provider, and what parsing a DAG costs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import airflow
import jsonschema

from airflow_ml_provider.get_provider_info import get_provider_info

PARSE = """
import sys
from airflow.sdk import DAG, task
before = set(sys.modules)
from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.sensors.spark import SparkClusterSensor, SparkJobSensor
with DAG("everything", schedule=None) as dag:
    with SparkCluster("etl", workers=2, mlflow_conn_id="m", deferrable=True) as cluster:
        job = cluster.job("job", program="job.py")
        cluster.partial("mapped", program="job.py").expand(args=[["a"]])
        SparkClusterSensor(task_id="ready", cluster=cluster)
        @task.spark_job(cluster=cluster)
        def count(spark):
            return 1
        count()
heavy = ("pyspark", "mlflow", "boto3", "azure", "pandas", "numpy", "requests", "grpc", "psutil", "flask_appbuilder")
print([name for name in heavy if name in set(sys.modules) - before])
print([name for name in sys.modules if name.startswith("airflow_ml_provider.backends.")])
"""


IMPORT_EACH = """
import importlib, os, sys
import airflow.sdk.bases.operator
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        importlib.import_module(f"airflow_ml_provider.{name}")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, name
"""


def test_it_fits_airflows_schema():
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_everything_it_names_is_there():
    info = get_provider_info()
    modules = [
        module
        for kind in ("operators", "sensors", "triggers", "hooks")
        for item in info[kind]
        for module in item["python-modules"]
    ]
    classes = [*info["extra-links"], *(item["class-name"] for item in info["task-decorators"])]
    classes += [item["hook-class-name"] for item in info["connection-types"]]
    for module in modules:
        importlib.import_module(module)
    for path in classes:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name)


def test_airflow_lists_it(airflow_db):
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert "airflow-ml-provider" in manager.providers
    assert manager.hooks["spark_cluster"].connection_testable
    assert "spark_job" in dict(manager.taskflow_decorators)
    assert "airflow_ml_provider.links.spark.SparkUILink" in manager.extra_links_class_names


def test_parsing_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", PARSE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["[]", "[]"]


def test_each_module_imports_by_itself():
    """In any order, so that none of them leans on another one's imports. Forked: Airflow's own take seconds."""
    names = ("cluster", "operators.spark_job", "triggers.spark", "decorators.spark_job", "sensors.spark")
    subprocess.run([sys.executable, "-c", IMPORT_EACH, *names], check=True)
