"""Plans of EMR and EMR Serverless, exact: golden files hold them, and botocore's own model of the services judges them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from airflow_ml_provider.backends.aws import machines, releases, sessions, tags
from airflow_ml_provider.backends.aws.jobs import STAGED_KEY, folders, named, token_of
from airflow_ml_provider.backends.emr import translate as emr
from airflow_ml_provider.backends.emr.backend import EmrBackend
from airflow_ml_provider.backends.emr_serverless import translate as serverless
from airflow_ml_provider.backends.emr_serverless.backend import EmrServerlessBackend
from airflow_ml_provider.core.errors import ServiceError, SpecError
from airflow_ml_provider.core.libraries import Jar, Maven, PyPI, Requirements, Wheel
from airflow_ml_provider.core.lowering import LOWERINGS, RUNNERS
from airflow_ml_provider.core.mounts import Credentials, FileReference, Mount, open_mount, with_mounts
from airflow_ml_provider.core.spec import (
    ClusterSpec,
    JobSpec,
    Node,
    Notebook,
    PythonCode,
    PythonFile,
    PythonWheel,
    RScript,
    ScalaSource,
    SparkJar,
    Sql,
)
from airflow_ml_provider.core.staging import Place, placed
from airflow_ml_provider.core.state import ClusterState, JobState
from airflow_ml_provider.runners import run_staged

GOLDEN = Path(__file__).parents[2] / "golden"
MODELS = {name: get_session().get_service_model(name) for name in ("emr", "emr-serverless")}
ROLE = {"executionRoleArn": "arn:aws:iam::123456789012:role/jobs"}
KINDS: tuple[tuple[Any, dict[str, Any]], ...] = ((EmrBackend, {}), (EmrServerlessBackend, ROLE))


def backend(kind: Any) -> Any:
    """One that cannot call: plans need no client."""
    return kind(lambda _: pytest.fail("a plan made a call"), "s3://bucket/airflow")


NETWORK = {
    "ServiceRole": "service-role",
    "JobFlowRole": "machines-profile",
    "SecurityConfiguration": "encrypted",
    "LogUri": "s3://logs/emr/",
    "Instances": {"Ec2SubnetIds": ["subnet-1", "subnet-2"]},
}
LIBRARIES = (
    PyPI("holidays==0.60", index_url="https://pypi.example.com/simple"),
    Wheel("/dist/etl-1.0-py3-none-any.whl"),
    Requirements("/dags/requirements.txt"),
    Jar("/lib/udfs.jar"),
    Maven("org.example:a_2.12:1.0", exclusions=("org.example:b",), repository="https://maven.example.com"),
)
CANARY = "canary-emr-mount-61b0"


def mounted(**fields: Any) -> tuple[ClusterSpec, dict[str, str]]:
    """A cluster with three mounts, as Airflow's hook opens them: by the cluster's own role, with keys, and read-only."""
    keys = Credentials("store", "aws", login=f"{CANARY}-key", password=f"{CANARY}-secret")
    opened = {
        Mount("raw", "s3://raw-bucket/in"): None,
        Mount("lake", "s3://lake-bucket", conn_id="store", read_only=True): keys,
        Mount("old", "hdfs://namenode:8020/data"): None,
    }
    return with_mounts(
        ClusterSpec(name="mounted", **fields), {mount: open_mount(mount, opens) for mount, opens in opened.items()}
    )


EMR_CLUSTERS = {
    "cluster_single_node": ClusterSpec(name="etl"),
    "cluster_groups": ClusterSpec(
        name="train",
        driver=Node(cores=4, memory="8g"),
        worker=Node(cores=4, memory="20g"),
        workers=2,
        spark_version="3.5",
        spark_conf={"spark.sql.shuffle.partitions": "16"},
        env={"TZ": "UTC"},
        idle_timeout=timedelta(minutes=5),
        max_lifetime=None,
        tags={"dag_id": "flights", "run_id": "manual__2026-01-01T00:00:00+00:00 (a)"},
        native={
            "Instances": {"Ec2SubnetId": "subnet-1"},
            "Configurations": [{"Classification": "hive-site", "Properties": {"a": "b"}}],
        },
    ),
    "cluster_fleets": ClusterSpec(
        name="spot",
        driver=Node(instance_type="m6i.xlarge"),
        worker=Node(instance_type="m6i.2xlarge,m5.2xlarge", spot=True),
        workers=2,
        max_workers=10,
        idle_timeout=None,
        native=NETWORK,
    ),
    "cluster_libraries": ClusterSpec(
        name="libraries",
        libraries=LIBRARIES,
    ),
    "cluster_mounts": mounted()[0],
    "cluster_gpus": ClusterSpec(name="gpu", worker=Node(gpus=1), workers=1, max_workers=4),
    "cluster_sessions": ClusterSpec(name="warm", spark_version="4.0"),
}
SESSION = {"spark.jars": "s3://bucket/airflow/clusters/t/mounts.jar", "spark.executorEnv.PYTHONPATH": "packages0"}
SESSIONS = {
    "emr": emr.plan_session("s3://logs/emr/j-1/sessions/", 30, SESSION, {tags.OWNER: "t"}),
    "emr-serverless": serverless.plan_session(ROLE["executionRoleArn"], 30, SESSION, {tags.OWNER: "t"}),
}
WHERE = {
    "emr": {"ClusterId": "j-1", "ClientRequestToken": "t-first"},
    "emr-serverless": {"applicationId": "a", "clientToken": "t-first"},
}
SERVERLESS_CLUSTERS = {
    "cluster_smallest": ClusterSpec(name="etl", native=ROLE),
    "cluster_ready": ClusterSpec(
        name="train",
        driver=Node(cores=2, memory="4g"),
        worker=Node(cores=4, memory="20g"),
        workers=2,
        max_workers=10,
        spark_conf={"spark.sql.shuffle.partitions": "16"},
        env={"TZ": "UTC"},
        idle_timeout=timedelta(seconds=90),
        tags={"dag_id": "flights"},
        native={**ROLE, "architecture": "ARM64", "networkConfiguration": {"subnetIds": ["subnet-1"]}},
    ),
    "cluster_libraries": ClusterSpec(name="libraries", libraries=LIBRARIES, native=ROLE),
    "cluster_mounts": mounted(native=ROLE)[0],
}
JOBS = {
    "job_file": JobSpec(
        name="train",
        program=PythonFile(path="/jobs/train.py", args=("--day", "2013-01-01")),
        env={"A": "b"},
        spark_conf={"spark.executor.memory": "4g", "spark.app.note": 'two "words"'},
        files=("/data/holidays.csv",),
        timeout=timedelta(minutes=2),
    ),
    "job_code": JobSpec(name="code", program=PythonCode(source="print(1)\n", api="classic")),
    "job_wheel": JobSpec(
        name="wheel", program=PythonWheel(wheel="/dist/etl-1.0-py3-none-any.whl", entry_point="run-etl", args=("x",))
    ),
    "job_jar": JobSpec(
        name="jar", program=SparkJar(jar="/lib/delays.jar", main_class="com.example.Delays"), libraries=(PyPI("holidays"),)
    ),
    "job_sql": JobSpec(name="sql", program=Sql(text="SELECT :day AS day", parameters={"day": "2013-01-01"})),
    "job_scala": JobSpec(name="scala", program=ScalaSource(file="/jobs/lines.scala", args=("10",))),
    "job_r": JobSpec(name="r", program=RScript(path="/jobs/model.R", args=("10",))),
    "job_notebook": JobSpec(name="notebook", program=Notebook(source="# Databricks notebook source\ndisplay(1)\n")),
}


def golden(service: str, name: str, document: Any) -> None:
    """The document is what the golden file holds. To change one on purpose, write what the failure shows into it.

    ``{runners}`` stands for where this checkout has its runners, ``{notebook}`` for the text that carries them to a notebook.
    """
    program = document.get(STAGED_KEY, {}).get("program", {})
    if name == "job_notebook":
        assert "airflow_ml_notebook" in program["source"]
        program["source"] = "{notebook}"
    told = json.loads(json.dumps(document).replace(str(RUNNERS), "{runners}"))
    assert told == json.loads((GOLDEN / service / f"{name}.json").read_text(encoding="utf-8"))


def judge(service: str, operation: str, payload: dict[str, Any]) -> None:
    """Botocore's own verdict on a payload."""
    payload = placed(payload, folders(Place.parse("s3://bucket/cluster", "s3"), Place.parse("s3://bucket/cluster/job", "s3")))
    report = ParamValidator().validate(payload, MODELS[service].operation_model(operation).input_shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize("name", EMR_CLUSTERS)
def test_emr_clusters(name: str) -> None:
    plan = backend(EmrBackend).plan_cluster(EMR_CLUSTERS[name])
    golden("emr", name, plan)
    judge("emr", "RunJobFlow", {key: value for key, value in plan.items() if key != STAGED_KEY})


@pytest.mark.parametrize("name", JOBS)
def test_emr_jobs(name: str) -> None:
    plan = backend(EmrBackend).plan_job(JOBS[name])
    golden("emr", name, plan)
    judge("emr", "AddJobFlowSteps", {"JobFlowId": "j-1", "Steps": [{key: plan[key] for key in plan if key != STAGED_KEY}]})


@pytest.mark.parametrize("name", SERVERLESS_CLUSTERS)
def test_serverless_clusters(name: str) -> None:
    plan = backend(EmrServerlessBackend).plan_cluster(SERVERLESS_CLUSTERS[name])
    golden("emr-serverless", name, plan)
    payload = {key: value for key, value in plan.items() if key not in (serverless.ROLE, STAGED_KEY)}
    judge("emr-serverless", "CreateApplication", {**payload, "clientToken": "t"})


@pytest.mark.parametrize("name", JOBS)
def test_serverless_jobs(name: str) -> None:
    plan = backend(EmrServerlessBackend).plan_job(JOBS[name])
    golden("emr-serverless", name, plan)
    payload = {key: value for key, value in plan.items() if key != STAGED_KEY}
    judge("emr-serverless", "StartJobRun", {**payload, **ROLE, "applicationId": "a", "clientToken": "t"})


@pytest.mark.parametrize("service", SESSIONS)
def test_sessions(service: str) -> None:
    golden(service, "session", SESSIONS[service])
    judge(service, "StartSession", {**SESSIONS[service], **WHERE[service]})
    assert {*sessions.STARTING, *sessions.READY, *sessions.ENDED} == {*MODELS[service].shape_for("SessionState").enum}


def test_releases_that_have_sessions() -> None:
    assert releases.release_label("4.0") == "emr-spark-8.0.0"
    assert releases.spark_of("emr-spark-8.0.0") == "4.0.2"
    assert releases.spark_of("emr-99.0.0") is None
    asked = [(label, service) for label in ("emr-7.12.0", "emr-7.13.0", "emr-spark-8.0.0") for service in WHERE]
    assert [releases.has_sessions(*item) for item in asked] == [False, False, False, True, True, True]
    assert not releases.has_sessions("emr-spark-8.0-preview", "emr-serverless")
    old = serverless.plan_cluster(ClusterSpec(spark_version="3.5.5", native=ROLE))
    assert "interactiveConfiguration" not in old


def test_the_next_session_follows_the_last_and_too_many_failures_end_it() -> None:
    made = [sessions.Session(f"s{i}", state, datetime.fromtimestamp(i, UTC), "no room") for i, state in enumerate(["FAILED"] * 3)]
    assert sessions.token_of_next("t", []) == "t-first"
    assert sessions.token_of_next("t", made[:2]) == "t-s1"
    assert sessions.current("j-1", made[:2]) is None
    with pytest.raises(ServiceError, match="cluster j-1: 3 of its Spark Connect sessions have failed: no room"):
        sessions.current("j-1", made)
    live = sessions.Session("s9", "BUSY", datetime.fromtimestamp(9, UTC))
    assert sessions.current("j-1", [*made, live]) is live
    assert sessions.target("https://abc.s.emr.example.com") == "abc.s.emr.example.com:443"


def test_every_kind_of_program_has_a_golden_file() -> None:
    assert {type(spec.program) for spec in JOBS.values()} == {*LOWERINGS, PythonCode, PythonFile}


def test_secrets_of_mounts_are_in_no_plan_and_spark_hides_their_names() -> None:
    spec, secrets = mounted(native=ROLE)
    assert set(secrets.values()) == {f"{CANARY}-key", f"{CANARY}-secret"}
    plans = [backend(kind).plan_cluster(spec.model_copy(update={"native": native})) for kind, native in KINDS]
    assert CANARY not in json.dumps(plans)
    assert all(re.search(run_staged._REDACTION, key) for key in secrets)


@pytest.mark.parametrize(
    ("mount", "conf", "message"),
    [
        ("flights", {}, r"mounts: got 'flights': the id of a connection is known to Airflow's hook only: give a Mount"),
        (Mount("a", "/data"), {}, r"got '/data' as 'a': it is a folder of one machine.*leads to s3:// or hdfs://"),
        (Mount("a", "gs://bucket"), {}, r"got 'gs://bucket' as 'a': EMR brings no connector for it: takes s3:// and hdfs://"),
        (
            Mount("a", "s3://bucket"),
            {"spark.hadoop.fs.s3a.bucket.bucket.auth.profile.file": FileReference("aws-x")},
            r"got a connection that signs in with a file on the cluster's machines: leave out conn_id",
        ),
    ],
)
def test_mounts_that_cannot_be_opened_are_refused(mount: Any, conf: dict[str, str], message: str) -> None:
    for kind, native in KINDS:
        with pytest.raises(SpecError, match=message):
            backend(kind).plan_cluster(ClusterSpec(mounts=(mount,), native=native).model_copy(update={"spark_conf": conf}))


def test_mounts_ask_for_a_release_whose_connector_is_hadoops() -> None:
    with pytest.raises(SpecError, match=r"mounts: got the release emr-7.8.0: takes emr-7.10.0 or later"):
        emr.plan_cluster(ClusterSpec(spark_version="3.5.4", mounts=(Mount("a", "s3://bucket"),)))


def test_archives_are_made_for_the_machines_that_unpack_them() -> None:
    plan = emr.plan_cluster(ClusterSpec(driver=Node(instance_type="m7g.xlarge,m7gd.xlarge"), spark_version="3.5.5"))
    assert (plan[STAGED_KEY]["python"], plan[STAGED_KEY]["machine"]) == ("3.9", "aarch64")
    assert machines.architecture(["m6i.xlarge", "g5.xlarge", "i3en.xlarge", "g4dn.xlarge", "p4d.24xlarge"]) == "x86_64"


@pytest.mark.parametrize(
    ("service", "shape", "table", "translated", "unknown"),
    [
        ("emr", "ClusterState", emr.CLUSTER_STATES, emr.cluster_state, ClusterState.UNKNOWN),
        ("emr", "StepState", emr.JOB_STATES, emr.job_state, JobState.UNKNOWN),
        ("emr-serverless", "ApplicationState", serverless.CLUSTER_STATES, serverless.cluster_state, ClusterState.UNKNOWN),
        ("emr-serverless", "JobRunState", serverless.JOB_STATES, serverless.job_state, JobState.UNKNOWN),
    ],
)
def test_every_state_that_the_service_has_is_known(service: str, shape: str, table: Any, translated: Any, unknown: Any) -> None:
    assert set(table) == set(MODELS[service].shape_for(shape).enum)
    assert translated("HIBERNATING") is unknown


def test_states_that_are_asked_for_exist() -> None:
    assert {*emr.LIVE} < {*MODELS["emr"].shape_for("ClusterState").enum}
    assert {*serverless.LIVE} < {*MODELS["emr-serverless"].shape_for("ApplicationState").enum}
    assert {*serverless.LIVE_JOBS} < {*MODELS["emr-serverless"].shape_for("JobRunState").enum}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"spark_version": "4.2"}, r"ClusterSpec.spark_version: got '4.2': EMR is known to bring 4.0.2, 3.5.6"),
        ({"spark_conf": {"spark.executor.memory": "9g"}}, r"got 'spark.executor.memory': use worker.memory"),
        ({"worker": Node(memory="2g")}, r"ClusterSpec.worker: is set, but workers=0"),
        ({"idle_timeout": timedelta(days=8)}, r"ClusterSpec.idle_timeout: got 8 days, 0:00:00: EMR takes at most 7 days"),
        (
            {"worker": Node(gpus=1), "workers": 1, "spark_version": "3.4"},
            r"ClusterSpec.worker.gpus: got the release emr-6.15.0: takes emr-7.0.0",
        ),
        ({"driver": Node(memory="9t")}, r"ClusterSpec.driver: got memory=9t: no instance type is known that has so much"),
    ],
)
def test_what_emr_refuses(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        emr.plan_cluster(ClusterSpec(**fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, r"ClusterSpec.native.executionRoleArn: is required: the role that jobs run as. Set it in the connection's defaults"),
        (
            {"native": ROLE, "worker": Node(cores=17)},
            r"ClusterSpec.worker: got cores=17, memory=None: EMR Serverless has 16 cores",
        ),
    ],
)
def test_what_serverless_refuses(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        serverless.plan_cluster(ClusterSpec(**fields))


def test_a_job_may_not_set_what_its_runner_sets() -> None:
    for plan_job in (emr.plan_job, serverless.plan_job):
        with pytest.raises(SpecError, match=r"JobSpec.env: got 'AIRFLOW_ML_RESULT': this provider sets it"):
            plan_job(JobSpec(name="x", program=PythonCode(source="pass"), env={"AIRFLOW_ML_RESULT": "/x"}))
        with pytest.raises(SpecError, match=r"JobSpec.libraries: got 'a:b:1': Spark resolves coordinates for all jobs"):
            plan_job(JobSpec(name="x", program=PythonCode(source="pass"), libraries=(Maven("a:b:1"),)))
    with pytest.raises(SpecError, match=r"JobSpec.timeout: got 7 days, 0:00:00: EMR Serverless takes less than 7 days"):
        serverless.plan_job(JobSpec(name="x", program=PythonCode(source="pass"), timeout=timedelta(days=7)))


MARKERS = "out-{job}.csv {staged} {files}/aws-x {python} $staged"
"""Text of a user that looks like an older version's place holders, and like a reference's key."""


def marked(kind: Any, native: dict[str, Any]) -> dict[str, Any]:
    """The payloads of a cluster and a job whose every text is :data:`MARKERS`, as the service gets them."""
    texts = {"A": MARKERS, "$staged": MARKERS}
    looks_like_one = {"Configurations": [{"$staged": ["run_staged.py"]}], "x": {"$job": []}, "y": {"$literal": [{"$job": []}]}}
    cluster = ClusterSpec(spark_conf=texts, env=texts, tags={"a": MARKERS}, native={**native, **looks_like_one})
    program = PythonFile(path="/jobs/a.py", args=(MARKERS,))
    job = JobSpec(
        name=MARKERS, program=program, spark_conf=texts, env=texts, native={"x": {"$staged": ["a"]}, "y": {"$job": MARKERS}}
    )
    found = backend(kind)
    places = folders(Place.parse("s3://bucket/cluster", "s3"), Place.parse("s3://bucket/job", "s3"))
    return {
        "cluster": placed(json.loads(json.dumps(found.plan_cluster(cluster))), places),
        "job": placed(json.loads(json.dumps(found.plan_job(job))), places),
    }


@pytest.mark.parametrize(("kind", "native"), KINDS)
def test_a_users_text_is_never_replaced(kind: Any, native: dict[str, Any]) -> None:
    plans = marked(kind, native)
    sent = json.dumps(plans)
    references = re.findall(r'"s3://bucket/(?:cluster/bootstrap_emr.sh|job/run_staged.py|job)"', sent)
    assert len(re.findall(r"s3://bucket/(?:cluster|job)", sent)) == len(references) > 0
    assert plans["job"]["Staged"]["program"]["args"] == [MARKERS]
    assert plans["job"]["Staged"]["env"] == {"A": MARKERS, "$staged": MARKERS}
    assert plans["job"]["x"] == {"$staged": ["a"]}
    assert plans["job"]["y"] == {"$job": MARKERS}
    assert plans["cluster"]["x"] == {"$job": []}
    assert plans["cluster"]["y"] == {"$literal": [{"$job": []}]}
    assert {"$staged": ["run_staged.py"]} in plans["cluster"]["Configurations"]
    assert f"A={MARKERS}" in json.dumps(plans["job"]) or f"A={MARKERS}" in str(plans["job"])


def test_references_of_a_plan_are_resolved() -> None:
    job = emr.plan_job(JobSpec(name="x", program=PythonCode(source="pass")))
    submit = placed(job, {"$staged": "s3://c", "$job": "s3://c/j"})["HadoopJarStep"]["Args"]
    assert submit[-2:] == ["s3://c/j/run_staged.py", "s3://c/j"]
    jars = emr.plan_cluster(ClusterSpec(libraries=(Jar("/a.jar"), Jar("/b.jar"))))["Configurations"][0]["Properties"]
    assert placed(jars, {"$staged": "s3://c"})["spark.jars"] == "s3://c/libraries/a.jar,s3://c/libraries/b.jar"


def test_an_unknown_spark_version_passes_with_a_release_of_ones_own() -> None:
    plan = emr.plan_cluster(ClusterSpec(spark_version="9.9", native={"ReleaseLabel": "emr-99.0.0"}))
    assert plan["ReleaseLabel"] == "emr-99.0.0"


def test_native_fleets_take_the_place_of_groups() -> None:
    fleets = [{"InstanceFleetType": "MASTER", "TargetOnDemandCapacity": 1}]
    instances = emr.plan_cluster(ClusterSpec(native={"Instances": {"InstanceFleets": fleets}}))["Instances"]
    assert instances["InstanceFleets"] == fleets
    assert "InstanceGroups" not in instances


@pytest.mark.parametrize(
    ("node", "name"),
    [
        (Node(), "m6i.xlarge"),
        (Node(cores=8), "m6i.2xlarge"),
        (Node(cores=4, memory="20g"), "r6i.xlarge"),
        (Node(gpus=1), "g5.xlarge"),
        (Node(gpus=2), "g5.12xlarge"),
    ],
)
def test_the_smallest_machine_with_room(node: Node, name: str) -> None:
    assert machines.instance_types(node, "worker") == [name]


def test_every_release_is_one_of_emrs() -> None:
    assert releases.release_label(None) == releases.release_label("3.5") == releases.NEWEST
    assert releases.release_label("3.5.2") == "emr-7.5.0"


def test_tags_come_back_as_they_were() -> None:
    given = {"run_id": "scheduled__2026-01-01T00:00:00+00:00", "odd": "a(b)=c, é"}
    sent = tags.encoded(given)
    assert sent["odd"] == "a=28b=29=3Dc=2C é"
    assert tags.decoded(sent) == given


def test_a_name_keeps_its_token() -> None:
    assert token_of(named("my job [x]", "abc")) == ("my job [x]", "abc")
    assert len(named("x" * 300, "a" * 24)) == 256
    assert token_of("somebody's own cluster") is None
