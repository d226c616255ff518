"""Activities that only a real Spark shows: XML that is read, and a program in a JAR."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.backends.local.java import find_jdk
from tests.airflow.conftest import Run
from tests.airflow.test_adf_activities import copied, dataset, lake
from tests.airflow.test_adf_control import check, expression, put
from tests.airflow.test_adf_ready_made import end_clusters, rows
from tests.airflow.test_adf_semantics import after, good, pipeline
from tests.airflow.test_adf_spark import linked_service
from tests.contract.programs import jar

__all__ = ["lake", "pipeline"]
XML = """<?xml version="1.0"?>
<a:flights xmlns:a="urn:a"><flight number="1"><carrier>UA</carrier><delay>2.5</delay></flight>
<flight number="2"><carrier>B6 &amp; more</carrier><delay/></flight></a:flights>
"""


@pytest.fixture(autouse=True)
def spark(spark_root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Clusters on this machine, which end with the test."""
    connection = {"conn_type": "spark_cluster", "extra": {"backend": "local", "staging_uri": str(spark_root)}}
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CLUSTER_DEFAULT", json.dumps(connection))
    yield
    end_clusters(spark_root)


@pytest.mark.soak
def test_xml_becomes_parquet(pipeline: Callable[..., Run], tmp_path: Path, lake: Path) -> None:
    (lake / "in").mkdir()
    for number in range(2):
        (lake / "in" / f"{number}.xml").write_text(XML)
    folder = tmp_path / "dataset"
    source = dataset(folder, "xml", "Xml", "the lake", location={"folderPath": "in"})
    sink = dataset(folder, "table", "Parquet", "the lake", location={"folderPath": "out"})
    typed = [
        {"source": {"name": "carrier"}, "sink": {"name": "carrier"}},
        {"source": {"name": "_number"}, "sink": {"name": "number", "type": "Int64"}},
        {"source": {"name": "delay"}, "sink": {"name": "delay", "type": "Double"}},
    ]
    asked = {"type": "XmlSource", "formatSettings": {"type": "XmlReadSettings", "rowTag": "flight"}}
    done = pipeline(
        "xml",
        copied("load", source, sink, source=asked, translator={"type": "TabularTranslator", "mappings": typed}),
        copied("no row", source, sink, source={"type": "XmlSource"}),
        good("caught", after("no row", "Failed")),
    )
    check(done)
    found = sorted(rows(lake / "out"), key=lambda row: row["number"])
    one, other = {"carrier": "UA", "number": 1, "delay": 2.5}, {"carrier": "B6 & more", "number": 2, "delay": None}
    assert found == [one, one, other, other]
    assert done.xcom("load.finish", "adf_record")["output"]["rowsCopied"] == 4


@pytest.mark.soak
def test_a_jar_runs_and_hands_its_result_on(pipeline: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "jars").mkdir()
    jar(tmp_path / "jars", find_jdk().java)
    service = linked_service(tmp_path, "bricks", "AzureDatabricks", newClusterNumOfWorker="0")
    properties = {
        "mainClassName": "Delays",
        "parameters": [expression("@string(add(4, 5))")],
        "libraries": [{"jar": "dbfs:/jars/delays.jar"}],
    }
    run = {"name": "run", "type": "DatabricksSparkJar", "linkedServiceName": service, "typeProperties": properties}
    missing = {**run, "name": "missing", "typeProperties": {**properties, "libraries": [{"jar": "dbfs:/jars/none.jar"}]}}
    told = [{"key": "total", "value": {"type": "Expression", "content": "@activity('run').output.runOutput"}}]
    done = pipeline(
        "jars",
        run,
        missing,
        good("caught", after("missing", "Failed")),
        put("tell", "pipelineReturnValue", told, after("run"), setSystemVariable=True),
    )
    check(done)
    assert done.xcom("pipeline_end") == {"total": 32}
    assert done.states["missing.prepare"] == "failed"
