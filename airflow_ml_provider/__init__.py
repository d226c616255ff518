"""Machine learning on Spark from Airflow: ephemeral clusters, jobs, MLflow models and ready-made DAGs.

What a DAG file needs is here: ``from airflow_ml_provider import Mount, Notebook, SparkCluster``. Each name is imported when it is
first used, so that parsing a DAG costs only what the DAG uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from airflow_ml_provider.cluster import SparkCluster
    from airflow_ml_provider.core.git import GitSource
    from airflow_ml_provider.core.libraries import Jar, Maven, PyPI, Requirements, Wheel
    from airflow_ml_provider.core.programs import (
        Notebook,
        PythonCode,
        PythonFile,
        PythonWheel,
        RScript,
        ScalaSource,
        SparkJar,
        Sql,
    )
    from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Mount, Node
    from airflow_ml_provider.decorators.spark_job import spark_job
    from airflow_ml_provider.operators.copy import CopyBetweenMountsOperator
    from airflow_ml_provider.operators.janitor import EndOrphanedClustersOperator
    from airflow_ml_provider.operators.mlflow import EvaluateModelOperator, PromoteModelOperator, RegisterModelOperator
    from airflow_ml_provider.operators.mount import MountStorageOperator, UnmountStorageOperator
    from airflow_ml_provider.operators.spark_cluster import CreateSparkClusterOperator, TerminateSparkClusterOperator
    from airflow_ml_provider.operators.spark_job import SparkJobOperator
    from airflow_ml_provider.sensors.mount import MountFileSensor
    from airflow_ml_provider.sensors.spark import SparkClusterSensor, SparkJobSensor

_WHERE = {
    "cluster": ("SparkCluster",),
    "core.git": ("GitSource",),
    "core.libraries": ("Jar", "Maven", "PyPI", "Requirements", "Wheel"),
    "core.programs": ("Notebook", "PythonCode", "PythonFile", "PythonWheel", "RScript", "ScalaSource", "SparkJar", "Sql"),
    "core.spec": ("ClusterSpec", "JobSpec", "Mount", "Node"),
    "decorators.spark_job": ("spark_job",),
    "operators.copy": ("CopyBetweenMountsOperator",),
    "operators.janitor": ("EndOrphanedClustersOperator",),
    "operators.mlflow": ("EvaluateModelOperator", "PromoteModelOperator", "RegisterModelOperator"),
    "operators.mount": ("MountStorageOperator", "UnmountStorageOperator"),
    "operators.spark_cluster": ("CreateSparkClusterOperator", "TerminateSparkClusterOperator"),
    "operators.spark_job": ("SparkJobOperator",),
    "sensors.mount": ("MountFileSensor",),
    "sensors.spark": ("SparkClusterSensor", "SparkJobSensor"),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}
__all__ = [
    "ClusterSpec",
    "CopyBetweenMountsOperator",
    "CreateSparkClusterOperator",
    "EndOrphanedClustersOperator",
    "EvaluateModelOperator",
    "GitSource",
    "Jar",
    "JobSpec",
    "Maven",
    "Mount",
    "MountFileSensor",
    "MountStorageOperator",
    "Node",
    "Notebook",
    "PromoteModelOperator",
    "PyPI",
    "PythonCode",
    "PythonFile",
    "PythonWheel",
    "RScript",
    "RegisterModelOperator",
    "Requirements",
    "ScalaSource",
    "SparkCluster",
    "SparkClusterSensor",
    "SparkJar",
    "SparkJobOperator",
    "SparkJobSensor",
    "Sql",
    "TerminateSparkClusterOperator",
    "UnmountStorageOperator",
    "Wheel",
    "spark_job",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value  # found without this function the next time
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
