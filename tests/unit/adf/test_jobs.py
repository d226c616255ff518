"""Definitions of Databricks jobs: what is read, what is refused, and when a task runs."""

from __future__ import annotations

import itertools
import json
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ml_provider.adf.export.loader import Gathered, load
from airflow_ml_provider.adf.expressions import databricks_references
from airflow_ml_provider.adf.model import Activity, Condition, Edge, JobTask, RunIf
from airflow_ml_provider.adf.report import as_json, render
from airflow_ml_provider.adf.rules import dependencies
from airflow_ml_provider.adf.support.databricks_jobs import with_jobs
from airflow_ml_provider.adf.support.spark_programs import Source, job
from airflow_ml_provider.core.errors import SpecError

NEW = {
    "spark_version": "15.4.x-scala2.12",
    "node_type_id": "Standard_D8ds_v5",
    "autoscale": {"min_workers": 1, "max_workers": 4},
    "spark_conf": {"spark.sql.shuffle.partitions": "8", "spark.databricks.delta.preview.enabled": "true"},
    "custom_tags": {"team": "flights"},
    "azure_attributes": {"availability": "ON_DEMAND_AZURE"},
}


def task(key: str, *before: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"task_key": key, "depends_on": [{"task_key": one} for one in before]}
    kinds = (
        "notebook_task",
        "spark_python_task",
        "spark_jar_task",
        "python_wheel_task",
        "sql_task",
        "dbt_task",
        "condition_task",
        "for_each_task",
        "run_job_task",
    )
    return {**found, **({} if more.keys() & set(kinds) else {"notebook_task": {"notebook_path": f"/Shared/{key}"}}), **more}


def definition(*tasks: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"job_id": 7, "creator_user_name": "me", "settings": {"name": "nightly", "tasks": list(tasks), **settings}}


def export(root: Path, document: dict[str, Any] | None, **activity: Any) -> Path:
    """A pipeline with one activity, ``nightly``, that runs job 7."""
    (root / "pipeline").mkdir(exist_ok=True)
    (root / "databricksJob").mkdir(exist_ok=True)
    properties = {"jobId": "7", "jobParameters": {"day": "@pipeline().parameters.day"}}
    one = {"name": "nightly", "type": "DatabricksJob", "typeProperties": properties, **activity}
    pipeline = {"name": "p", "properties": {"activities": [one], "parameters": {"day": {"type": "String"}}}}
    (root / "pipeline" / "p.json").write_text(json.dumps(pipeline))
    if document:
        (root / "databricksJob" / "nightly.json").write_text(json.dumps(document))
    return root


def told(root: Path) -> list[str]:
    return [one["reason"] for one in as_json(load(root))["pipelines"][0]["reasons"]]


def test_a_job_whose_definition_is_there_becomes_its_tasks(tmp_path: Path) -> None:
    first = task("ingest", job_cluster_key="main", max_retries=1, min_retry_interval_millis=2000, timeout_seconds=60)
    last = task("report", "ingest", run_if="ALL_DONE", existing_cluster_id="0812-x", email_notifications={"on_failure": ["me"]})
    clusters = [{"job_cluster_key": "main", "new_cluster": NEW}]
    document = definition(first, last, job_clusters=clusters, parameters=[{"name": "day", "default": "today"}], schedule={"a": 1})
    root = export(tmp_path, document, policy={"retry": 2, "timeout": "0.00:10:00"})
    assert told(root) == []
    (pipeline,) = load(root).pipelines
    (activity,) = pipeline.activities
    assert activity.job and (activity.job.parameters, activity.job.timeout) == ({"day": "today"}, 600)
    ingest, report = activity.branches[0].activities
    assert (ingest.policy.retry, ingest.policy.retry_interval, ingest.policy.timeout) == (5, 2, 60)
    assert (report.policy.retry, report.policy.timeout, report.depends_on[0].activity) == (2, 600, ingest.name)
    assert ingest.task and report.task
    assert ingest.task.cluster == {
        "workers": 1,
        "max_workers": 4,
        "worker": {"instance_type": "Standard_D8ds_v5"},
        "spark_conf": {"spark.sql.shuffle.partitions": "8"},
        "tags": {"team": "flights"},
    }
    assert (ingest.task.share, ingest.task.lasting, report.task.share, report.task.lasting) == ("7 main", False, "0812-x", True)
    assert "      report: notebook_task  after ingest [ALL_DONE]" in render(pipeline)


def test_without_a_definition_the_refusal_names_the_file(tmp_path: Path) -> None:
    (reason,) = told(export(tmp_path, None))
    assert "add databricksJob/7.json, what `databricks jobs get 7` prints" in reason
    (reason,) = told(export(tmp_path, None, typeProperties={"jobId": "@pipeline().parameters.job"}))
    assert "jobId: got the expression" in reason


def every(key: str, inputs: Any, repeated: dict[str, Any], *before: str, **more: Any) -> dict[str, Any]:
    """A For each."""
    asked = {name: more.pop(name) for name in ("concurrency",) if name in more}
    return task(key, *before, for_each_task={"inputs": inputs, "task": repeated, **asked}, **more)


def test_a_for_each_and_another_job_hold_their_tasks(tmp_path: Path) -> None:
    given = {"notebook_path": "a", "base_parameters": {"of": "{{input.of}} {{tasks.first.values.x}}"}}
    each = task("one", notebook_task=given, job_cluster_key="main", max_retries=1)
    other = task("other", run_job_task={"job_id": 8, "job_parameters": {"month": "{{job.parameters.day}}"}}, max_retries=2)
    loop = every("all", "{{tasks.first.values.list}}", each, "first", concurrency=4)
    clusters = [{"job_cluster_key": "main", "new_cluster": NEW}]
    root = export(tmp_path, definition(task("first"), loop, other, job_clusters=clusters))
    month = {"notebook_path": "a", "base_parameters": {"of": "{{job.parameters.month}} {{job.parameters.[day]}}"}}
    inner = {"job_id": 8, "settings": {"name": "inner", "tasks": [task("first", notebook_task=month)]}}
    (root / "databricksJob" / "inner.json").write_text(json.dumps(inner))
    assert told(root) == []
    (activity,) = load(root).pipelines[0].activities
    first, all_, runs = activity.branches[0].activities
    (one,) = all_.branches[0].activities
    assert (all_.type_properties["batchCount"], all_.type_properties["isSequential"]) == (4, False)
    assert one.task and one.name == "nightly / all / one" and (one.task.job, one.task.loop) == ("nightly", "nightly / all")
    assert (one.task.share, one.policy.retry, one.policy.timeout) == ("7 main", 1, 43200)
    assert runs.job and (runs.job.id, runs.job.name) == ("8", "inner")
    (inside,) = runs.branches[0].activities
    assert inside.task and first.task and inside.name == "nightly / other / first"
    assert (inside.task.job, inside.task.share, first.task.share) == ("nightly / other", "7/other/8 serverless", "7 serverless")
    assert inside.policy.retry == 2
    drawn = render(load(root).pipelines[0])
    assert "all: for_each_task  after first [ALL_SUCCESS]" in drawn and "          one: notebook_task" in drawn


def test_items_that_come_one_by_one(tmp_path: Path) -> None:
    """In one task, where each would have a cluster of its own or be a whole job."""
    clusters = [{"job_cluster_key": "main", "new_cluster": NEW}]
    other = task("c", run_job_task={"job_id": 8})
    loops = (
        every("x", "[1]", task("a", job_cluster_key="main")),
        every("y", [1, "{{job.id}}"], task("b", new_cluster=NEW)),
        every("z", "[1]", other, concurrency=1),
        every("w", "[1]", {**other, "task_key": "d"}, concurrency=2),
        every("v", "[1]", task("e", job_cluster_key="main"), concurrency=2, timeout_seconds=60),
    )
    root = export(tmp_path, definition(*loops, job_clusters=clusters))
    (root / "databricksJob" / "8.json").write_text(json.dumps({"settings": {"tasks": [task("a")]}}))
    assert told(root) == []
    (activity,) = load(root).pipelines[0].activities
    found = [one.type_properties["isSequential"] for one in activity.branches[0].activities]
    assert found == [False, True, True, False, True]


def test_jobs_that_run_each_other_are_refused(tmp_path: Path) -> None:
    root = export(tmp_path, definition(task("a", run_job_task={"job_id": 8})))
    (reason,) = told(root)
    assert (
        reason.startswith("job 7, task 'a': run_job_task: DatabricksJob: what the job does") and "databricksJob/8.json" in reason
    )
    (root / "databricksJob" / "8.json").write_text(json.dumps({"settings": {"tasks": [task("b", run_job_task={"job_id": 7})]}}))
    (reason,) = told(root)
    assert reason == "job 8 of job 7, task 'b': run_job_task.job_id: got 7: takes a job that does not run this one"


REFUSED = {
    "takes a JSON array": [every("a", "x, y", task("b"))],
    "inputs: got {'a': 1}": [every("a", {"a": 1}, task("b"))],
    "got 'one'": [every("a", "[]", task("b"), concurrency="one")],
    "takes 1 to 100": [every("a", "[]", task("b"), concurrency=101)],
    "got for_each_task: takes one of": [every("a", "[]", every("b", "[]", task("c")))],
    "got condition_task: takes one of": [
        every("a", "[]", task("b", condition_task={"op": "EQUAL_TO", "left": "1", "right": "1"}))
    ],
    "got 'b': takes a task of the job": [every("a", "[]", task("b")), task("c", "b")],
    "takes keys that differ": [every("a", "[]", task("b")), task("b")],
    "'input'": [task("a", notebook_task={"notebook_path": "{{input}}"})],
    "run_job_task.notebook_params": [task("a", run_job_task={"job_id": 8, "notebook_params": {"a": "b"}})],
    "run_job_task.job_parameters": [task("a", run_job_task={"job_id": 8, "job_parameters": [1]})],
    "dbt_task": [task("a", dbt_task={"commands": ["dbt run"]})],
    "takes one of": [task("a", notebook_task={"notebook_path": "a"}, sql_task={})],
    "depends_on": [task("a", "b")],
    "wait for each other": [task("a", "b"), task("b", "a")],
    "key twice": [task("a"), task("a")],
    "run_if": [task("a", run_if="SOMETIMES")],
    "outcome": [task("a"), {**task("b"), "depends_on": [{"task_key": "a", "outcome": "true"}]}],
    "takes EQUAL_TO": [task("a", condition_task={"op": "LIKE", "left": "1", "right": "1"})],
    "got 'maybe'": [
        task("a", condition_task={"op": "EQUAL_TO", "left": "1", "right": "1"}),
        {**task("b"), "depends_on": [{"task_key": "a", "outcome": "maybe"}]},
    ],
    "job_cluster_key": [task("a", job_cluster_key="none")],
    "docker_image": [task("a", new_cluster={"docker_image": {"url": "x"}})],
    "newClusterInitScripts": [task("a", new_cluster={"init_scripts": [{"workspace": {"destination": "/a.sh"}}]})],
    "by a connection": [task("a", new_cluster={"spark_conf": {"a": "{{secrets/a/b}}"}})],
    "max_retries": [task("a", max_retries=-1)],
    "environment_key": [task("a", environment_key="none")],
    "sql_task.query": [task("a", sql_task={"query": {"query_id": "1"}})],
    "'job.parameters.month'": [
        task("a", notebook_task={"notebook_path": "a", "base_parameters": {"m": "{{job.parameters.month}}"}})
    ],
    "'tasks.b.values.rows'": [
        task("a", notebook_task={"notebook_path": "a", "base_parameters": {"m": "{{tasks.b.values.rows}}"}})
    ],
    "compute": [task("a", compute={"num_gpus": 1})],
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_does_not_run_here_is_refused_with_its_reason(tmp_path: Path, word: str) -> None:
    (reason,) = told(export(tmp_path, definition(*REFUSED[word])))
    assert word in reason
    assert "job 7" in reason


def test_settings_that_are_not_known_secure_inputs_and_half_files_are_refused(tmp_path: Path) -> None:
    (reason,) = told(export(tmp_path, definition(task("a"), new_thing=1)))
    assert reason.startswith("job 7: new_thing: does not run here")
    (reason,) = told(export(tmp_path, {**definition(task("a")), "has_more": True}))
    assert "has_more" in reason
    (reason,) = told(export(tmp_path, definition()))
    assert "tasks: got none" in reason
    (reason,) = told(export(tmp_path, definition(task("a")), policy={"secureInput": True}))
    assert reason.startswith("secureInput")


def test_programs_of_tasks(tmp_path: Path) -> None:
    import zipfile

    for folder in ("dist", "Repos/x"):
        (tmp_path / folder).mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "dist" / "my_etl-1.0-py3-none-any.whl", "w") as packed:
        packed.writestr("my_etl-1.0.dist-info/entry_points.txt", "[other]\nrun = my_etl.main:start\n")
    (tmp_path / "Repos" / "x" / "q.sql").write_text("SELECT :day\n")
    (tmp_path / "spliced.sql").write_text("SELECT {{ day }}\n")
    (tmp_path / "a.jar").write_text("")
    (tmp_path / "classic.py").write_text("from pyspark import SparkContext\n")
    source = Source(tmp_path)
    wheel = [{"whl": "/Workspace/dist/my_etl-1.0-py3-none-any.whl"}, {"pypi": {"package": "holidays"}}]
    asked = {"package_name": "my-etl", "entry_point": "run", "named_parameters": {"day": "1"}, "libraries": wheel}
    made = job("python_wheel_task", asked, source)
    assert made.program["entry_point"] == "my_etl.main:start"
    assert made.program["args"] == ["--day=1"]
    assert [one["kind"] for one in made.libraries] == ["pypi"]
    assert job("python_wheel_task", {**asked, "entry_point": "go"}, source).program["entry_point"] == "my-etl:go"
    found = job("sql_task", {"file": {"path": "/Repos/x/q.sql"}, "parameters": {"day": "1"}}, source).program
    assert (found["text"], found["parameters"]) == ("SELECT :day\n", {"day": "1"})
    with pytest.raises(SpecError, match="takes parameters as :name"):
        job("sql_task", {"file": {"path": "spliced.sql"}}, source)
    with pytest.raises(SpecError, match="package_name: got 'other'"):
        job("python_wheel_task", {**asked, "package_name": "other"}, source)
    jar = job("spark_jar_task", {"main_class_name": "a.B", "parameters": ["x"], "libraries": [{"jar": "dbfs:/a.jar"}]}, source)
    assert (jar.program["main_class"], jar.program["args"], jar.libraries) == ("a.B", ["x"], [])
    assert job("spark_python_task", {"python_file": "classic.py"}, source).program["api"] == "classic"


def test_references() -> None:
    known = {("job", "parameters", "a b"): "1", ("job", "id"): "7"}
    tree = {"x": ["{{job.parameters.`a b`}}-{{ job.id }}", "{{secrets/a/b}}", "{{my.value}", 5]}
    assert databricks_references.filled(tree, lambda parts: known.get(tuple(parts))) == {
        "x": ["1-7", "{{secrets/a/b}}", "{{my.value}", 5]
    }
    with pytest.raises(SpecError, match="has no value"):
        databricks_references.filled("{{job.naem}}", lambda parts: None)
    at = "2024-05-07T08:09:10+02:00"
    forms = ("iso_date", "iso_datetime", "timestamp_ms", "hour", "iso_weekday", "is_weekday", "era")
    found = [databricks_references.time_of(at, form) for form in forms]
    assert found == ["2024-05-07", "2024-05-07T06:09:10", "1715062150000", "6", "2", "true", None]


def _tasks(last: RunIf) -> tuple[Activity, ...]:
    def made(key: str, run_if: RunIf, *before: str) -> Activity:
        return Activity(key, "notebook_task", tuple(Edge(one) for one in before), task=JobTask("j", key, run_if, {}, ""))

    first = made("root", RunIf.ALL_SUCCESS), made("other", RunIf.ALL_SUCCESS)
    return (
        *first,
        made("rescue", RunIf.AT_LEAST_ONE_FAILED, "root"),
        made("next", RunIf.ALL_SUCCESS, "other"),
        made("last", last, "rescue", "next"),
    )


RUNS = {
    # of root and other (S succeeded, F failed): does `last` run, which waits for a rescue of root (excluded when root is well) and for
    # what follows other (upstream failed when it failed)? As Databricks documents each condition.
    RunIf.ALL_SUCCESS: {"SS": True, "SF": False, "FS": True, "FF": False},
    RunIf.NONE_FAILED: {"SS": True, "SF": False, "FS": True, "FF": False},
    RunIf.AT_LEAST_ONE_SUCCESS: {"SS": True, "SF": True, "FS": True, "FF": True},
    RunIf.ALL_DONE: {"SS": True, "SF": True, "FS": True, "FF": True},
    RunIf.AT_LEAST_ONE_FAILED: {"SS": False, "SF": True, "FS": False, "FF": True},
    RunIf.ALL_FAILED: {"SS": False, "SF": False, "FS": False, "FF": False},
}


@pytest.mark.parametrize("run_if", RunIf)
def test_run_if(run_if: RunIf) -> None:
    tasks = _tasks(run_if)
    for root, other in itertools.product("SF", repeat=2):
        statuses = {"root": _ended(root), "other": _ended(other)}
        for one in tasks[2:]:
            reached = dependencies.is_reached(one, tasks, statuses)
            statuses[one.name] = Condition.SUCCEEDED if reached else Condition.SKIPPED
        assert (statuses["last"] is Condition.SUCCEEDED) == RUNS[run_if][root + other], root + other
        upstream_failed = run_if in (RunIf.ALL_SUCCESS, RunIf.NONE_FAILED) and other == "F"
        assert dependencies.verdict(tasks, statuses) is (Condition.FAILED if upstream_failed else Condition.SUCCEEDED)


def _ended(letter: str) -> Condition:
    return Condition.SUCCEEDED if letter == "S" else Condition.FAILED


def test_a_task_all_of_whose_dependencies_are_excluded_is_excluded() -> None:
    rescue = Activity("rescue", "notebook_task", (Edge("root"),), task=JobTask("j", "rescue", RunIf.ALL_FAILED, {}, ""))
    root = Activity("root", "notebook_task", task=JobTask("j", "root", RunIf.ALL_SUCCESS, {}, ""))
    last = Activity("last", "notebook_task", (Edge("rescue"),), task=JobTask("j", "last", RunIf.ALL_DONE, {}, ""))
    statuses = {"root": Condition.SUCCEEDED, "rescue": Condition.SKIPPED}
    assert not dependencies.is_reached(last, (root, rescue, last), statuses)
    assert dependencies.verdict((root, rescue, last), {**statuses, "last": Condition.SKIPPED}) is Condition.SUCCEEDED


def test_a_definition_is_found_by_its_id_else_by_its_name(tmp_path: Path) -> None:
    document = definition(task("a"))
    del document["job_id"]
    root = export(tmp_path, None)
    (root / "databricksJob" / "7.json").write_text(json.dumps(document))
    assert told(root) == []
    assert load(root).other[0].source == PurePath("databricksJob/7.json")


WORDS = (
    *(
        "task_key",
        "depends_on",
        "run_if",
        "notebook_task",
        "notebook_path",
        "base_parameters",
        "python_wheel_task",
        "sql_task",
        "file",
    ),
    *(
        "new_cluster",
        "num_workers",
        "autoscale",
        "min_workers",
        "spark_conf",
        "job_cluster_key",
        "job_clusters",
        "libraries",
        "pypi",
    ),
    *(
        "environments",
        "environment_key",
        "spec",
        "dependencies",
        "max_retries",
        "timeout_seconds",
        "parameters",
        "name",
        "default",
    ),
    *("for_each_task", "inputs", "concurrency", "task", "run_job_task", "job_id", "job_parameters"),
    *("existing_cluster_id", "outcome", "init_scripts", "custom_tags", "is_single_node", "tasks", "has_more", "node_type_id"),
)
LEAVES = st.one_of(
    st.sampled_from(
        [
            "a",
            "b",
            "1:2",
            "[1, 2]",
            "{{input.a}}",
            7,
            "{{job.parameters.day}}",
            "{{tasks.a.values.b}}",
            "{{job.x}}",
            "ALL_DONE",
            "@{x}",
            "",
            "a.whl",
        ]
    ),
    st.none() | st.booleans() | st.integers(-(2**1100), 2**1100) | st.floats(allow_nan=False),
)
BAGS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5), max_leaves=12
)
ODD = st.dictionaries(st.sampled_from(WORDS), BAGS, max_size=5)


@settings(max_examples=400, derandomize=True, database=None, deadline=None)
@given(st.lists(ODD, min_size=1, max_size=3), ODD)
def test_no_definition_is_too_odd_for_a_verdict(odd: list[dict[str, Any]], settings_: dict[str, Any]) -> None:
    tasks = [{**task(key), **one} for key, one in zip("abc", odd, strict=False)]
    document = {"job_id": 7, "settings": {"job_clusters": [{"job_cluster_key": "a"}], **settings_, "tasks": tasks}}
    gathered = Gathered()
    properties = {"jobId": "7", "jobParameters": {"day": "1"}}
    pipeline = {"activities": [{"name": "nightly", "type": "DatabricksJob", "typeProperties": properties}]}
    for name, one in (("p", {"name": "p", "properties": pipeline}), ("7", document)):
        gathered.document(one, PurePath(f"{name}.json"), {})
    factory = with_jobs(gathered.factory())
    assert as_json(factory)["pipelines"]
    assert render(factory.pipelines[0])
