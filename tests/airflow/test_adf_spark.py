"""Spark activities on the memory backend: clusters of their own, clusters that are used again, and what reaches them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_ml_provider.adf.airflow.operators.clusters import AdfClusterOperator, AdfSharedJobOperator
from tests.airflow.conftest import Run
from tests.airflow.test_adf_activities import copied, dataset, lake
from tests.airflow.test_adf_control import check, each, expression
from tests.airflow.test_adf_semantics import after, pipeline

__all__ = ["lake", "pipeline"]


def linked_service(root: Path, name: str, kind: str, **properties: Any) -> dict[str, str]:
    """Write a linked service down, and refer to it."""
    (root / "linkedService").mkdir(exist_ok=True)
    document = {"name": name, "properties": {"type": kind, "typeProperties": properties}}
    (root / "linkedService" / f"{name}.json").write_text(json.dumps(document))
    return {"referenceName": name, "type": "LinkedServiceReference"}


def test_activities_of_an_on_demand_cluster_share_it(pipeline: Callable[..., Run], service: Any, tmp_path: Path) -> None:
    (tmp_path / "count.py").write_text("print('counted')\n")
    on_demand = linked_service(tmp_path, "burst", "HDInsightOnDemand", clusterSize=2, timeToLive="00:05:00")
    there = linked_service(tmp_path, "there", "AzureDatabricks", existingClusterId="0812-165614-tibia842")
    spark = {"type": "HDInsightSpark", "typeProperties": {"rootPath": "", "entryFilePath": "count.py"}}
    libraries = [{"pypi": {"package": "holidays==0.60"}}]
    done = pipeline(
        "window",
        {"name": "one", **spark, "linkedServiceName": on_demand},
        {"name": "two", **spark, "linkedServiceName": on_demand},
        {
            "name": "three",
            "type": "DatabricksSparkPython",
            "dependsOn": [after("one"), after("two")],
            "typeProperties": {"pythonFile": "dbfs:/count.py", "libraries": libraries},
            "linkedServiceName": there,
        },
    )
    check(done)
    burst, interactive = service.clusters.values()
    assert (burst.plan["idle_timeout"], burst.plan["workers"], len(burst.jobs)) == (300, 2, 2)
    assert (interactive.plan["tags"]["adf_service"], interactive.plan["name"]) == ("there", "there")
    assert [job.plan["libraries"][0]["requirement"] for job in interactive.jobs.values()] == ["holidays==0.60"]
    assert not burst.state.ended
    assert Run(done.dag).state == "success"
    assert len(service.clusters) == 2
    assert len(burst.jobs) == 4


def test_a_cluster_that_ends_before_the_job_is_followed_by_another(run: Callable[[Any], Run], service: Any, program: str) -> None:
    with DAG("ended_in_between") as dag:
        maker = AdfClusterOperator(task_id="cluster", service="burst", shared=True, idle_timeout="300")

        @task
        def its_window_ends() -> None:
            for cluster in service.clusters.values():
                cluster.end("idle")

        job = AdfSharedJobOperator(task_id="run", maker=maker, program=program)
        maker >> its_window_ends() >> job
    done = run(dag)
    assert done.state == "success", done.states
    assert [len(cluster.jobs) for cluster in service.clusters.values()] == [0, 1]


def test_copies_that_spark_does_share_a_cluster_with_their_mounts(
    pipeline: Callable[..., Run], service: Any, tmp_path: Path, lake: Path
) -> None:
    for name in ("a", "b"):
        (lake / f"{name}.csv").write_text("n\n1\n")
    name = expression("@dataset().day")
    text = dataset(tmp_path / "dataset", "text", "DelimitedText", "the lake", location={"fileName": name}, firstRowAsHeader=True)
    table = dataset(tmp_path / "dataset", "table", "Parquet", "the lake", location={"folderPath": name})
    file, folder = (expression(f"@concat(item(), '{suffix}')") for suffix in (".csv", "/out"))
    copy = copied("convert", {**text, "parameters": {"day": file}}, {**table, "parameters": {"day": folder}})
    done = pipeline("conversions", each("each", "@createArray('a', 'b')", copy))
    check(done)
    (cluster,) = service.clusters.values()
    asked = [json.loads(job.plan["program"]["args"][0]) for job in cluster.jobs.values()]
    assert sorted(one["read"]["paths"][0] for one in asked) == ["dbfs:/mnt/the_lake/a.csv", "dbfs:/mnt/the_lake/b.csv"]
    assert len({one["write"]["path"] for one in asked}) == 2
    assert {one["read"]["format"] + one["write"]["format"] for one in asked} == {"csvparquet"}
    assert [mount["source"] for mount in cluster.plan["mounts"]] == [str(lake)]
