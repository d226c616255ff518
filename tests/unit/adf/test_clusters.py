"""Clusters and programs that Spark activities ask for, as specs; and what of them is refused, with its reason."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import pytest

from airflow_ml_provider.adf.model import Activity, Factory, Reference, Resource
from airflow_ml_provider.adf.support import spark_programs
from airflow_ml_provider.adf.support.clusters import Wanted, cluster
from airflow_ml_provider.adf.support.spark_programs import Source
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec

HERE = PurePath("x.json")


def service(kind: str, **properties: Any) -> Factory:
    found = Resource("linkedService", "the service", kind, {"type": kind, "typeProperties": properties}, HERE)
    return Factory(linked_services=(found,))


def wanted(factory: Factory, kind: str = "DatabricksNotebook", **properties: Any) -> Wanted:
    reference = Reference("LinkedServiceReference", "the service")
    found = cluster(Activity("a", kind, type_properties=properties, linked_service=reference), factory)
    ClusterSpec(**found.fields)
    return found


def test_a_job_cluster_of_databricks() -> None:
    conf = {"spark.executor.memory": "2g", "spark.sql.shuffle.partitions": "4", "spark.databricks.delta.preview.enabled": "true"}
    found = wanted(
        service(
            "AzureDatabricks",
            newClusterNumOfWorker="2:8",
            newClusterNodeType="Standard_DS3_v2",
            newClusterSparkConf=conf,
            newClusterSparkEnvVars={"PYSPARK_PYTHON": "/databricks/python3/bin/python3", "STAGE": "test"},
            newClusterCustomTags={"team": "etl"},
            newClusterVersion="13.3.x-scala2.12",
        )
    )
    assert found == Wanted(
        {
            "workers": 2,
            "max_workers": 8,
            "worker": {"instance_type": "Standard_DS3_v2", "memory": "2g"},
            "env": {"STAGE": "test"},
            "tags": {"team": "etl"},
            "spark_conf": {"spark.sql.shuffle.partitions": "4"},
        },
        "the service",
    )


def test_a_single_node() -> None:
    conf = {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"}
    assert wanted(service("AzureDatabricks", newClusterNumOfWorker="1", newClusterSparkConf=conf)).fields == {"workers": 0}


def test_clusters_that_are_used_again() -> None:
    there = wanted(service("AzureDatabricks", existingClusterId="0812-165614-tibia842"))
    assert there == Wanted({"name": "the-service"}, "the service", shared=True)
    short = wanted(service("HDInsightOnDemand", clusterSize=2, timeToLive="00:05:00"), "HDInsightSpark")
    assert short == Wanted({"workers": 2, "name": "the-service", "idle_timeout": "300"}, "the service", shared=True)
    assert not wanted(service("HDInsightOnDemand", clusterSize=2, timeToLive="00:00:00"), "HDInsightSpark").shared


def test_a_pool_its_definition_and_the_activity_in_this_order() -> None:
    scale = {"enabled": True, "minNodeCount": 3, "maxNodeCount": 10}
    pool = Resource("bigDataPools", "pool", "", {"nodeSize": "Small", "autoScale": scale}, HERE)
    job = {"driverMemory": "8g", "driverCores": 2, "executorMemory": "6g", "conf": {"spark.a": "b"}}
    definition = {"targetBigDataPool": {"referenceName": "pool"}, "jobProperties": job}
    factory = Factory(other=(pool, Resource("sparkJobDefinition", "job", "", definition, HERE)))
    named = {"referenceName": "job", "type": "SparkJobDefinitionReference"}
    assert wanted(factory, "SparkJob", sparkJob=named) == Wanted(
        {
            "workers": 3,
            "max_workers": 10,
            "driver": {"memory": "8g", "cores": 2},
            "worker": {"memory": "6g"},
            "spark_conf": {"spark.a": "b"},
        },
        "pool",
    )
    own = {"numExecutors": 4, "executorSize": "Medium", "conf": {"spark.a": "c", "spark.dynamicAllocation.enabled": None}}
    found = wanted(factory, "SparkJob", sparkJob=named, **own).fields
    assert (found["workers"], "max_workers" in found, found["worker"]) == (4, False, {"cores": 8, "memory": "56g"})
    assert found["spark_conf"] == {"spark.a": "c"}


@pytest.mark.parametrize(
    ("factory", "kind", "properties", "reason"),
    [
        (service("AzureDatabricks", newClusterInitScripts=["dbfs:/x.sh"]), "DatabricksNotebook", {}, "newClusterInitScripts"),
        (service("AzureDatabricks", newClusterNumOfWorker="@linkedService().n"), "DatabricksNotebook", {}, "the expression"),
        (service("AzureDatabricks", newClusterNumOfWorker="two"), "DatabricksNotebook", {}, "takes a number"),
        (Factory(), "SynapseNotebook", {"executorSize": "Tiny"}, "takes Small, Medium"),
    ],
)
def test_what_has_no_meaning_here_is_refused(factory: Factory, kind: str, properties: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        wanted(factory, kind, **properties)


def test_libraries_are_installed_or_refused(tmp_path: Path) -> None:
    (tmp_path / "FileStore").mkdir()
    for name in ("main.py", "FileStore/udfs.jar", "etl.whl"):
        (tmp_path / name).touch()
    maven = {"coordinates": "com.databricks:spark-xml_2.13:0.18.0", "exclusions": ["a:b"], "repo": "https://repo.example.com"}
    libraries = [
        {"pypi": {"package": "holidays==0.60", "repo": "https://pypi.example.com/simple"}},
        {"jar": "dbfs:/FileStore/udfs.jar"},
        {"whl": "dbfs:/etl.whl"},
        {"maven": maven},
    ]
    found = spark_programs.job("DatabricksSparkPython", {"pythonFile": "dbfs:/main.py", "libraries": libraries}, Source(tmp_path))
    spec = JobSpec(name="a", program=found.program, libraries=found.libraries)
    assert [one.kind for one in spec.libraries] == ["pypi", "jar", "wheel", "maven"]
    with pytest.raises(SpecError, match=r"got 'egg': takes pypi, jar, whl, maven"):
        spark_programs.check_libraries({"libraries": [{"egg": "dbfs:/old.egg"}]})


def test_a_program_is_found_by_its_whole_path(tmp_path: Path) -> None:
    """``notebookPath``: "The absolute path of the notebook to be run in the Databricks workspace" (Microsoft, "Transform data by running a
    Databricks notebook"): another notebook with the same name is another program.
    """
    for name in ("clean.py", "etl/clean.py", "Prod/other.sql", "Prod/twice.py", "Prod/twice.ipynb", "Prod/in r.r"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def path_of(notebook: str) -> str:
        found = spark_programs.job("DatabricksNotebook", {"notebookPath": notebook}, Source(tmp_path)).program["path"]
        return Path(found).relative_to(tmp_path).as_posix()

    assert [path_of(one) for one in ("/clean", "/Workspace/etl/clean", "/Prod/other", "/Prod/twice.py", "/Prod/in r")] == [
        *("clean.py", "etl/clean.py", "Prod/other.sql", "Prod/twice.py", "Prod/in r.r")
    ]
    for wrong, reason in [
        ("/Prod/etl/clean", r"there is no file .*/Prod/etl/clean: put it there with one of the suffixes \.py"),
        ("/Prod/twice", r"takes one file: .* has twice\.py, twice\.ipynb"),
        ("/Prod/../clean", r"without '\.\.'"),
    ]:
        with pytest.raises(SpecError, match=reason):
            path_of(wrong)


def test_jobs_of_synapse_and_hdinsight(tmp_path: Path) -> None:
    for name in ("adf/jobs/count.py", "jobs/etl.jar"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    job = {"file": "abfss://c@a.dfs.core.windows.net/jobs/etl.jar", "className": "a.B", "args": ["1"]}
    definition = Resource("sparkJobDefinition", "job", "", {"jobProperties": job}, HERE)
    source = Source(tmp_path, lambda kind, name: definition if kind == "sparkJobDefinition" and name == "job" else None)
    made = spark_programs.job("SparkJob", {"sparkJob": {"referenceName": "job"}, "args": ["2"]}, source).program
    assert made == {"kind": "spark_jar", "jar": str(tmp_path / "jobs" / "etl.jar"), "main_class": "a.B", "args": ["2"]}
    with pytest.raises(SpecError, match="takes a Spark job definition of the export"):
        spark_programs.job("SparkJob", {"sparkJob": {"referenceName": "none"}}, source)
    given = {
        "rootPath": "adf\\jobs",
        "entryFilePath": "count.py",
        "arguments": [1],
        "sparkConfig": {"spark.a": "b", "runid": "1"},
    }
    found = spark_programs.job("HDInsightSpark", given, source)
    assert (found.program["path"], found.spark_conf) == (str(tmp_path / "adf" / "jobs" / "count.py"), {"spark.a": "b"})


def test_a_notebook_that_the_export_holds(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "source": ["print(1)"], "metadata": {}, "outputs": []}]
    notebook = Resource("notebook", "clean", "", {"nbformat": 4, "cells": cells}, HERE)
    properties = {
        "notebook": {"referenceName": "clean", "type": "NotebookReference"},
        "parameters": {"n": {"value": 3, "type": "int"}},
    }
    made = spark_programs.job("SynapseNotebook", properties, Source(tmp_path, lambda kind, name: notebook)).program
    assert (made["parameters"], '"print(1)"' in made["source"]) == ({"n": 3}, True)
