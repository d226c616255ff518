"""Plans and command lines of the local backend, exact: golden files hold them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.backends.local import commands, translate
from airflow_ml_provider.backends.local.commands import Installation, Site
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.mounts import FileReference, open_mount, with_mounts
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Mount, Node, PythonCode, PythonFile
from airflow_ml_provider.core.state import ClusterState, JobState

GOLDEN = Path(__file__).parents[2] / "golden" / "local"
SITE = Site(Path("/state/c-1/scratch"), token="canary-token", rpc_secret="canary-rpc")
MADE_OF = Installation(Path("/jdk/bin/java"), Path("/spark"), archive=Path("/state/cache/k.jsa"))
SINGLE = ClusterSpec(name="etl")
OPENED = {
    mount: open_mount(mount, None) for mount in (Mount("raw", "s3://bucket/raw", read_only=True), Mount("out", "/data/out"))
}
MOUNTED, _ = with_mounts(ClusterSpec(name="mounted"), OPENED)
STANDALONE = ClusterSpec(
    name="train",
    driver=Node(cores=2, memory="2g"),
    worker=Node(cores=3, memory="4g"),
    workers=2,
    spark_conf={"spark.sql.shuffle.partitions": "16"},
    env={"TZ": "UTC"},
    idle_timeout=timedelta(minutes=5),
    max_lifetime=None,
    tags={"dag_id": "flights"},
)


def golden(name: str, document: Any) -> None:
    """The document is what the golden file holds. To change one on purpose, write what the failure shows into it."""
    assert document == json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "spec"), [("cluster_single_node", SINGLE), ("cluster_standalone", STANDALONE), ("cluster_mounted", MOUNTED)]
)
def test_cluster_plan(name: str, spec: ClusterSpec) -> None:
    golden(name, translate.plan_cluster(spec))


def test_job_plan() -> None:
    program = PythonFile(path="/jobs/train.py", args=("--day", "2013-01-01"))
    golden("job", translate.plan_job(JobSpec(name="train", program=program, env={"A": "b"}, timeout=timedelta(minutes=2))))


def test_command_lines() -> None:
    plan = translate.plan_cluster(STANDALONE)
    common = commands.common_properties(plan, SITE, {"fs.key": "canary-secret"})
    properties = Path("/state/c-1/scratch/x.properties")
    lines = {
        "master": commands.master_command(MADE_OF, SITE, properties),
        "worker": commands.worker_command(MADE_OF, SITE, properties, plan, "spark://127.0.0.1:7077"),
        "connect": commands.connect_command(MADE_OF, SITE, properties, "2g", common),
        "classic": commands.classic_command(MADE_OF, SITE, properties, "2g", common, ["run_python.py", "/jobs/train.py"]),
    }
    golden("commands", lines)
    assert "canary" not in json.dumps(lines)


def test_properties() -> None:
    common = commands.common_properties(translate.plan_cluster(STANDALONE), SITE, {})
    golden("properties", commands.connect_properties(common, "spark://127.0.0.1:7077"))


def test_a_user_cannot_move_a_port_off_the_loopback() -> None:
    for key in (
        "spark.driver.bindAddress",
        "spark.connect.grpc.binding.address",
        "spark.authenticate",
        "spark.master.rest.enabled",
    ):
        with pytest.raises(SpecError, match=f"ClusterSpec.spark_conf: got '{key}': the local backend sets it"):
            translate.plan_cluster(ClusterSpec(spark_conf={key: "x"}))


def test_a_property_that_has_a_field_names_it() -> None:
    with pytest.raises(SpecError, match=r"got 'spark\.executor\.memory': use worker\.memory"):
        translate.plan_cluster(ClusterSpec(spark_conf={"spark.executor.memory": "9g"}))


def test_reserved_variables_are_refused() -> None:
    with pytest.raises(SpecError, match=r"JobSpec\.env: got 'SPARK_REMOTE'"):
        translate.plan_job(JobSpec(name="x", program=PythonCode(source="pass"), env={"SPARK_REMOTE": "sc://elsewhere"}))


def test_a_worker_size_without_workers_is_refused() -> None:
    with pytest.raises(SpecError, match=r"ClusterSpec\.worker: got a size, but workers=0"):
        translate.plan_cluster(ClusterSpec(worker=Node(memory="2g")))


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        translate.plan_cluster(ClusterSpec(spark_conf={"spark.master": "x"}, env={"SPARK_HOME": "/"}, native={"gpu": 1}))
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "ClusterSpec.native",
        "ClusterSpec.spark_conf",
        "ClusterSpec.env",
    ]


@pytest.mark.parametrize("key", ["spark.executor.memory", "spark.sql.extensions", "spark.jars"])
def test_a_property_that_no_session_takes_is_refused_under_connect(key: str) -> None:
    connect = JobSpec(name="x", program=PythonCode(source="pass"), spark_conf={key: "x"})
    with pytest.raises(SpecError, match='declare the program with api="classic"'):
        translate.plan_job(connect)
    assert translate.plan_job(connect.model_copy(update={"program": PythonCode(source="pass", api="classic")}))


def test_states_of_another_version_are_unknown() -> None:
    assert translate.cluster_state("HIBERNATING") is ClusterState.UNKNOWN
    assert translate.job_state("HIBERNATING") is JobState.UNKNOWN
    assert {translate.job_state(state.value) for state in JobState} == set(JobState)


def test_nothing_of_airflow_is_inherited() -> None:
    environ = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "x",
        "AIRFLOW_CONN_A": "x",
        "SPARK_HOME": "x",
        "PATH": "/bin",
        "AIRFLOW_HOME": "x",
    }
    assert commands.inherited_environment(environ) == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"a": "b"}, "a=b\n"),
        ({"a b": "c:d=e"}, "a\\ b=c:d=e\n"),
        ({"a": " x\\y\nz"}, "a=\\ x\\\\y\\nz\n"),
    ],
)
def test_properties_files_are_escaped(properties: dict[str, str], text: str) -> None:
    assert commands.properties_text(properties) == text


@pytest.mark.parametrize(("machine_mib", "memory"), [(2048, "1024m"), (16384, "4096m"), (262144, "8192m")])
def test_the_heap_is_a_quarter_of_the_machine_within_bounds(machine_mib: int, memory: str) -> None:
    assert commands.driver_memory(translate.plan_cluster(SINGLE), machine_mib) == memory
    assert commands.driver_memory(translate.plan_cluster(STANDALONE), machine_mib) == "2g"


def test_the_id_of_a_connection_is_not_a_mount() -> None:
    with pytest.raises(
        SpecError, match=r"ClusterSpec\.mounts: got 'raw': the id of a connection is known to Airflow's hook only"
    ):
        translate.plan_cluster(ClusterSpec(mounts=["raw"]))


def test_folders_need_no_connector() -> None:
    assert translate.plan_cluster(ClusterSpec())["connectors"] == []
    assert translate.plan_cluster(ClusterSpec(mounts=[Mount("a", "/data")]))["connectors"] == ["mounts"]
    assert translate.plan_cluster(ClusterSpec(mounts=[Mount("a", "az://box"), Mount("b", "gs://x")]))["connectors"] == [
        *("azure", "gcs", "mounts")
    ]


def test_a_users_text_is_never_replaced() -> None:
    text = "{files}/key.json {python} {staged} {job}"
    plan = translate.plan_cluster(ClusterSpec(spark_conf={"spark.x": text, "spark.hadoop.fs.gs.key": "{files}/key.json"}))
    common = commands.common_properties(json.loads(json.dumps(plan)), SITE, {"file:key.json": "hidden"})
    assert (common["spark.x"], common["spark.hadoop.fs.gs.key"]) == (text, "{files}/key.json")


def test_hadoops_secrets_are_in_its_own_file_and_never_shown() -> None:
    secrets = {"spark.hadoop.fs.s3a.secret.key": "hidden<&>", "file:key.json": "hidden", "spark.mine": "x"}
    plan = translate.plan_cluster(
        MOUNTED.model_copy(
            update={"spark_conf": {"spark.redaction.regex": "mine", "spark.hadoop.fs.gs.key": FileReference("key.json")}}
        )
    )
    common = commands.common_properties(plan, SITE, secrets)
    assert "hidden" not in json.dumps(common)
    assert common["spark.mine"] == "x"
    assert common["spark.hadoop.fs.gs.key"] == "/state/c-1/scratch/private/key.json"
    assert common["spark.redaction.regex"].split("|")[0] == "mine"
    for name in ("fs.s3a.secret.key", "spark.hadoop.fs.s3a.secret.key", "spark.mine"):
        assert re.search(common["spark.redaction.regex"], name)
    assert "<value>hidden&lt;&amp;&gt;</value>" in commands.site_xml(commands.hadoop_secrets(secrets))


def test_a_classic_program_adds_to_what_mounts_need() -> None:
    site = replace(SITE, classes=(Path("/cache/a.jar"),))
    common = commands.common_properties(translate.plan_cluster(MOUNTED), site, {"spark.hadoop.key": "x"})
    mine = {"spark.driver.extraClassPath": "/mine.jar", "spark.redaction.regex": "mine"}
    job = translate.plan_job(JobSpec(name="x", program=PythonCode(source="pass", api="classic"), spark_conf=mine))
    found = commands.classic_properties(common, "local", job)
    assert found["spark.driver.extraClassPath"] == "/mine.jar:/cache/a.jar"
    assert found["spark.executor.extraClassPath"] == "/cache/a.jar"
    assert found["spark.redaction.regex"] == f"mine|{common['spark.redaction.regex']}"
