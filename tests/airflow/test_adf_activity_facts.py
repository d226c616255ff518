"""What audit pipelines read of ``activity('…')``, and the output of a Copy ("Monitor copy activity")."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_ml_provider.adf.airflow.activity_facts import FACTS, span, written
from airflow_ml_provider.adf.airflow.dag_file import adf_dags
from tests.airflow.conftest import Run
from tests.airflow.test_adf_activities import copied, dataset, lake
from tests.airflow.test_adf_control import check, each, expression, put
from tests.airflow.test_adf_semantics import after, bad, good, pipeline, when

__all__ = ["lake", "pipeline"]
DOCUMENTED = {
    *(
        "dataRead",
        "dataWritten",
        "filesRead",
        "filesWritten",
        "sourcePeakConnections",
        "sinkPeakConnections",
        "rowsRead",
        "rowsCopied",
    ),
    *("copyDuration", "throughput", "errors", "effectiveIntegrationRuntime", "usedDataIntegrationUnits", "usedParallelCopies"),
    "executionDetails",
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z")


def test_times_and_durations_are_written_as_dot_net_does() -> None:
    assert written(datetime(2024, 1, 2, 3, 4, 5, 678900, UTC)) == "2024-01-02T03:04:05.6789000Z"
    assert [span(timedelta(seconds=one)) for one in (0, 5.25, 90_061)] == [
        "00:00:00.0000000",
        "00:00:05.2500000",
        "1.01:01:01.0000000",
    ]


def test_an_audit_reads_what_ran(pipeline: Callable[..., Run], tmp_path: Path, lake: Path) -> None:
    (lake / "in.csv").write_text("a\n1\n2\n")
    folder, text = tmp_path / "dataset", {"firstRowAsHeader": True}
    source = dataset(folder, "in", "DelimitedText", "the lake", location={"fileName": "in.csv"}, **text)
    missing = dataset(folder, "gone", "DelimitedText", "the lake", location={"fileName": "gone.csv"}, **text)
    target = dataset(folder, "out", "DelimitedText", "the lake", location={"folderPath": "out"}, **text)
    table = dataset(folder, "rows", "AzureSqlTable", "the db", table="rows")

    def read(name: str, target: str, text: str, *edges: Any) -> dict[str, Any]:
        return put(name, target, expression(text), *edges)

    fact = "@createArray({})".format(", ".join(f"activity('files').{name}" for name in FACTS))
    done = pipeline(
        "audit",
        copied("files", source, target, source={}, sink={}),
        copied("rows", source, table, source={}, sink={"tableOption": "autoCreate"}),
        copied("lost", missing, target, source={}, sink={}),
        when("choice", good("inside")),
        bad("breaks"),
        each(
            "loop",
            "@createArray(1)",
            copied("again", source, table, source={}, sink={}),
            sequential=True,
            after_=(after("rows"),),
        ),
        read("facts", "facts", fact, after("files")),
        read("of choice", "one", "@activity('choice').Duration", after("choice")),
        read("failed copy", "two", "@string(activity('lost').output.rowsCopied)", after("lost", "Failed")),
        read("of errors", "three", "@activity('lost').output.errors[0].Message", after("lost", "Failed")),
        read(
            "of fail",
            "four",
            "@concat(activity('breaks').output.message, ' ', activity('breaks').output.errorCode)",
            after("breaks", "Failed"),
        ),
        variables={**{name: {"type": "String"} for name in ("one", "two", "three", "four")}, "facts": {"type": "Array"}},
    )
    check(done)
    value = {
        name: done.xcom(name, "adf_record")["output"]["value"]
        for name in ("facts", "of_choice", "failed_copy", "of_errors", "of_fail")
    }
    name, kind, run_id, began, ended, duration, status = value["facts"]
    assert (name, kind, status, str(uuid.UUID(run_id))) == ("files", "Copy", None, run_id)
    assert TIME.fullmatch(began) and TIME.fullmatch(ended) and began <= ended
    assert re.fullmatch(r"00:\d\d:\d\d\.\d{7}", duration) and re.fullmatch(r"00:\d\d:\d\d\.\d{7}", value["of_choice"])
    assert (value["failed_copy"], value["of_fail"]) == ("", "breaks broke 7")
    assert "there is no file" in value["of_errors"]
    outputs = {name: done.xcom(name, "adf_record")["output"] for name in ("files", "rows", "lost")}
    assert all(output.keys() == DOCUMENTED for output in outputs.values())
    assert [outputs["files"][key] for key in ("filesRead", "filesWritten", "dataRead", "errors")] == [1, 1, 6, []]
    assert [outputs["rows"][key] for key in ("rowsRead", "rowsCopied")] == [2, 2] and outputs["rows"]["copyDuration"] >= 1
    details = [outputs[name]["executionDetails"][0] for name in ("rows", "lost")]
    assert [(one["status"], one["source"]["type"]) for one in details] == [
        ("Succeeded", "delimitedtext"),
        ("Failed", "delimitedtext"),
    ]


def test_a_spark_activity_fails_with_its_own_error(run: Callable[[Any], Run], service: Any, tmp_path: Path) -> None:
    bricks = {"linkedServiceName": {"referenceName": "bricks", "type": "LinkedServiceReference"}}
    spark = {"name": "count", "type": "DatabricksSparkPython", "typeProperties": {"pythonFile": "dbfs:/count.py"}, **bricks}
    lost = {**spark, "name": "lost", "typeProperties": {"pythonFile": "dbfs:/lost.py"}}
    activities = [spark, lost, good("caught", after("lost", "Failed"), after("count", "Failed"))]
    (tmp_path / "count.py").write_text("print('counted')\n")
    (tmp_path / "failing.json").write_text(json.dumps({"name": "failing", "properties": {"activities": activities}}))
    broken = {"native": {"outcome": "FAILED", "message": "no quota is left"}}
    done = run(adf_dags(tmp_path, clusters={"bricks": broken}, default_args={"retries": 0})["failing"])
    check(done)
    errors = {name: done.xcom(f"{name}.finish", "adf_record")["error"]["message"] for name in ("count", "lost")}
    assert "no quota is left" in errors["count"] and "there is no file" in errors["lost"]
    facts = done.xcom("lost.finish", "adf_record")["facts"]
    assert facts["ActivityType"] == "DatabricksSparkPython" and TIME.fullmatch(facts["ExecutionStartTime"])
