"""EMR behind an Airflow connection: jobs, logs and results through staging; work done once; a service that refuses half of all calls."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import threading
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from airflow.sdk import DAG
from airflow.triggers.base import BaseTrigger

from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.errors import AccessDenied, ConfigurationError, Unavailable
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode, PythonWheel
from airflow_ml_provider.core.staging import Place
from airflow_ml_provider.hooks.spark_cluster import SparkClusterHook
from airflow_ml_provider.links.spark import PAGES
from airflow_ml_provider.operators.spark_cluster import CreateSparkClusterOperator
from airflow_ml_provider.operators.spark_job import SparkJobOperator
from airflow_ml_provider.plugins import spark_ui
from airflow_ml_provider.triggers.spark import SparkTrigger
from tests.contract.programs import wheel
from tests.fakes.emr import _ENDED, BUCKET, ROLE, Services, client, connections, serving
from tests.fakes.faults import Fault
from tests.seed import SEED

CANARY = "canary-9a40-aws"
RETRIES = {"retries": 2, "retry_delay": timedelta(0)}
PROGRAM = """
import json, os, sys, time
print("began", sys.argv[1:])
while os.path.exists(os.environ.get("HOLD", "")):
    time.sleep(0.02)
if os.path.exists(os.environ.get("FAIL", "")):
    os.unlink(os.environ["FAIL"])
    raise ValueError("told to fail")
with open(os.environ["AIRFLOW_ML_RESULT"], "w") as file:
    json.dump({"rows": 3, "dag": os.environ.get("AIRFLOW_CTX_DAG_ID")}, file)
"""


@pytest.fixture(scope="module")
def aws():
    with serving(Services(speed=1)) as services:
        yield services


@pytest.fixture(params=["emr", "emr-serverless"])
def kind(request):
    return request.param


@pytest.fixture
def service(aws, kind, monkeypatch):
    """The fake behind ``spark_cluster_default``, without clusters of other tests."""
    defaults = {"native": {"executionRoleArn": ROLE}} if kind == "emr-serverless" else {}
    for name, value in connections(aws, kind, secret=CANARY, folder="dags", **defaults).items():
        monkeypatch.setenv(name, value)
    yield aws
    aws.faults.clear()
    for cluster in aws.clusters.values():
        cluster.end("TERMINATED", "CANCELLED")
    aws.clusters.clear()
    aws.calls.clear()
    aws.runs = 0


@pytest.fixture
def job(tmp_path):
    """Fields of a job that can be held, and told to fail."""
    (tmp_path / "job.py").write_text(PROGRAM)
    return {
        "program": {"kind": "python_file", "path": str(tmp_path / "job.py")},
        "args": ["--day", "1"],
        "env": {"HOLD": str(tmp_path / "hold"), "FAIL": str(tmp_path / "fail")},
        "poll_interval": 0.1,
    }


def objects(services):
    found = client(services.endpoint, "s3").list_objects_v2(Bucket=BUCKET, Prefix="dags/").get("Contents", ())
    return [item["Key"] for item in found if "/logs/" not in item["Key"]]


def all_jobs(services):
    return [job for cluster in services.clusters.values() for job in cluster.jobs.values()]


only_emr = pytest.mark.parametrize("kind", ["emr"], indirect=True)


def test_a_dag_from_create_to_terminate(run, service, kind, job, deferrable, log, caplog):
    with DAG("aws", schedule=None) as dag, SparkCluster("etl", deferrable=deferrable) as cluster:
        cluster.job("job", **job)
    done = run(dag)
    assert done.states == dict.fromkeys(done.states, "success")
    assert done.xcom("etl.job") == {"rows": 3, "dag": "aws"}
    run_id = done.ti("etl.job").run_id
    assert done.xcom("etl.job", "spark_ui_url").endswith(f"{PAGES}/aws/{quote(run_id, safe='')}/etl.job/-1")
    pages = [spark_ui.address("aws", run_id, "etl.job", -1) for _ in range(2)]
    assert "token=" in pages[1]
    assert not [page for page in pages if page in str(done.xcoms())]
    with pytest.raises(LookupError, match="'etl.create_cluster' of this run has no job"):
        spark_ui.address("aws", run_id, "etl.create_cluster", -1)
    assert objects(service) == []
    told = log()
    assert "began ['--day', '1']" in told
    assert ("ClusterSpec.max_lifetime: the default, 1 day, 0:00:00, has no effect" in caplog.text) is (kind == "emr-serverless")
    assert CANARY not in told
    assert CANARY not in str(done.xcoms())
    assert service.runs == 1
    assert [cluster.state for cluster in service.clusters.values()] == ["TERMINATED"]


@pytest.fixture
def finished(run, service, job):
    """A run whose one job succeeded, on a cluster that lives on."""
    with DAG("once_on_aws", schedule=None, default_args=RETRIES) as dag:
        create = CreateSparkClusterOperator(task_id="create")
        SparkJobOperator(task_id="job", cluster=create.output, **job)
    done = run(dag)
    assert done.state == "success"
    return done


@only_emr
def test_work_is_done_once_whoever_dies(finished, service):
    """Cases (a) to (c) and (e): nobody noted the service's answer, the job still ran, its result was there, a user cleared it."""
    (made,) = service.clusters.values()
    for key in [key for key in objects(service) if key.endswith("/id")]:
        client(service.endpoint, "s3").delete_object(Bucket=BUCKET, Key=key)
    finished.run_again("job", cleared=False)
    assert (finished.xcom("job")["rows"], service.runs) == (3, 1)
    (first,) = made.jobs.values()
    first.state = "RUNNING"
    threading.Timer(0.3, first.end, ["COMPLETED"]).start()
    finished.run_again("job", cleared=False)
    assert (finished.xcom("job")["rows"], service.runs) == (3, 1)
    finished.run_again("create", cleared=False)
    assert len(service.clusters) == 1
    made.end("TERMINATED", "CANCELLED")
    finished.run_again("job", cleared=False)
    assert (finished.xcom("job")["rows"], service.runs) == (3, 1)
    finished.run_again("create", cleared=False)
    finished.run_again("job", cleared=True)
    assert (finished.xcom("job")["rows"], service.runs) == (3, 2)
    assert len(service.clusters) == 2


@only_emr
def test_a_retry_after_a_failed_job_starts_one_more(run, service, job, log):
    """Case (d)."""
    with DAG("fails_on_aws", schedule=None, default_args=RETRIES) as dag, SparkCluster("etl", deferrable=True) as cluster:
        cluster.job("job", **job)
    Path(job["env"]["FAIL"]).touch()
    done = run(dag)
    assert done.state == "success"
    assert [item.state for item in all_jobs(service)] == ["FAILED", "COMPLETED"]
    assert "ValueError: told to fail" in log()


@only_emr
def test_a_triggerer_that_dies_cancels_nothing_and_a_user_does(service, job):
    """Cases (f) and (g)."""
    backend = SparkClusterHook().backend
    cluster = backend.create(backend.plan_cluster(ClusterSpec()), token="f")
    Path(job["env"]["HOLD"]).touch()
    spec = {name: job[name] for name in ("program", "env")}
    made = backend.submit(cluster, backend.plan_job(JobSpec(name="waits", **spec)), token="waits")
    trigger = partial(SparkTrigger, f"emr://spark_cluster_default/{cluster}/{made}", poll_interval=0.1)

    async def watch(seconds):
        watcher = asyncio.ensure_future(anext(aiter(trigger().run())))
        await asyncio.sleep(seconds)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)

    if hasattr(BaseTrigger, "on_kill"):  # before Airflow 3.3 nobody tells which of the two ended a trigger
        asyncio.run(watch(0.5))
        assert backend.poll(cluster, [made])[made].state == "RUNNING"
    asyncio.run(trigger().on_kill())
    assert backend.poll(cluster, [made])[made].state == "CANCELLED"
    assert service.runs == 1
    Path(job["env"]["HOLD"]).unlink()


@only_emr
def test_a_killed_task_cancels_its_step(run, service, job):
    with DAG("killed_on_aws", schedule=None) as dag, SparkCluster("etl", deferrable=False) as cluster:
        cluster.job("job", **job)
    Path(job["env"]["HOLD"]).touch()
    handler = signal.getsignal(signal.SIGTERM)

    def kill():
        while not any(item.state == "RUNNING" for item in all_jobs(service)):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        done = run(dag)
    finally:
        thread.join()
        signal.signal(signal.SIGTERM, handler)
    assert done.states["etl.job"] == "failed"
    assert [item.state for item in all_jobs(service)] == ["CANCELLED"]


@pytest.mark.soak
def test_a_storm_in_which_half_of_all_calls_are_refused(run, service, job, monkeypatch):
    """Every job ends right and none twice. Waits are shortened, their number is not."""
    monkeypatch.setattr("airflow_ml_provider.core.polling.MAX_BACKOFF", 0.05)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(time=time.time, sleep=lambda _: None))
    dice = random.Random(SEED)
    service.faults.chance = lambda call: Fault.THROTTLED if "Object" not in call and dice.random() < 0.5 else None
    default = {"deferrable": True, "retries": 5, "retry_delay": timedelta(0)}
    with DAG("storm_on_aws", schedule=None, default_args=default) as dag, SparkCluster("etl") as cluster:
        fixed = {name: job[name] for name in ("program", "env", "poll_interval")}
        cluster.partial("job", **fixed).expand(args=[[str(number)] for number in range(3)])
    done = run(dag)
    service.faults.clear()
    assert done.states == dict.fromkeys(done.states, "success")
    assert service.runs == 3
    assert {item.state for item in all_jobs(service)} <= {"COMPLETED", "SUCCESS"}
    assert len(service.clusters) == 1


def test_a_secret_is_in_no_payload_and_goes_once_it_is_read(service, tmp_path):
    before = objects(service)
    backend = SparkClusterHook().backend
    spec = SparkClusterHook().cluster_spec({})
    cluster = backend.create(backend.plan_cluster(spec), token="secret")
    program = PythonCode(source="import os; assert os.environ['KEY'].startswith(open('start.txt').read())")
    token = "a" * 24
    (tmp_path / "start.txt").write_text("canary")
    job = JobSpec(name="x", program=program, files=(str(tmp_path / "start.txt"),))
    made = backend.submit(cluster, backend.plan_job(job), token=token, secrets={"KEY": CANARY})
    assert [key for key in objects(service) if key.endswith("secrets.json")]
    assert CANARY not in json.dumps(
        [[item.payload for item in all_jobs(service)], *(item.payload for item in service.clusters.values())]
    )
    while not (status := backend.poll(cluster, [made])[made]).state.ended:
        time.sleep(0.02)
    assert status.state == "SUCCEEDED", status
    place = Place.parse(f"s3://{BUCKET}/dags", "s3").of_cluster("secret")
    assert backend.store.read(place.of_job(token) / "secrets.json") is None
    other = backend.create(backend.plan_cluster(spec), token="properties", secrets={"spark.hadoop.fs.key": CANARY})
    staged = Place.parse(f"s3://{BUCKET}/dags", "s3").of_cluster("properties") / "secrets.json"
    assert backend.store.read_json(staged) == {"spark.hadoop.fs.key": CANARY}
    assert CANARY not in json.dumps([item.payload for item in service.clusters.values()])
    for item in (cluster, other):
        backend.terminate(item)
    assert objects(service) == before


@only_emr
def test_a_wheel_is_a_program_and_its_packages_go_with_the_cluster(service, tmp_path):
    hand_back = "import json, os, sys\ndef main():\n    json.dump(sys.argv[1:], open(os.environ['AIRFLOW_ML_RESULT'], 'w'))\n"
    made_of = wheel(tmp_path, "etl_of_tests", "1.0", hand_back, "run-etl = etl_of_tests:main")
    before = objects(service)
    backend = SparkClusterHook().backend
    cluster = backend.create(backend.plan_cluster(SparkClusterHook().cluster_spec({})), token="wheel")
    spec = JobSpec(name="etl", program=PythonWheel(wheel=made_of, entry_point="run-etl", args=("x",)))
    job = backend.submit(cluster, backend.plan_job(spec), token="job")
    while not (status := backend.poll(cluster, [job])[job]).state.ended:
        time.sleep(0.02)
    assert (status.state, status.result) == ("SUCCEEDED", ["x"]), status.message
    made = set(objects(service)) - set(before)
    assert len([key for key in made if key.endswith("packages.zip")]) == 1
    backend.terminate(cluster)
    assert objects(service) == before


def test_mounts_of_the_clusters_own_role_are_not_looked_at_from_here(service):
    hook = SparkClusterHook()
    fields = {"mounts": [{"name": "raw", "source": "s3://nobody-here-may-list/in"}]}
    spec, secrets = hook.open_mounts(hook.cluster_spec(fields))
    assert secrets == {}
    assert "s3a://nobody-here-may-list/in" in json.dumps(hook.backend.plan_cluster(spec))


@only_emr
def test_a_late_answer_makes_no_second_cluster_or_step_whatever_the_connection_says(service, monkeypatch):
    """The connection's own retries repeat reads only: the client of RunJobFlow and AddJobFlowSteps repeats nothing."""
    connection = json.loads(os.environ["AIRFLOW_CONN_AWS_FAKE"])
    connection["extra"]["config_kwargs"] = {"read_timeout": 1, "retries": {"mode": "standard", "max_attempts": 4}}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_FAKE", json.dumps(connection))
    backend, again = SparkClusterHook().backend, SparkClusterHook().backend
    assert backend.emr.meta.config.retries["total_max_attempts"] == 5
    plan, spec = backend.plan_cluster(ClusterSpec(name="late")), JobSpec(name="x", program=PythonCode(source="pass"))
    service.faults.add(Fault.ANSWER_LATE, "RunJobFlow")
    with pytest.raises(Unavailable):
        backend.create(plan, token="late-answer")
    cluster = again.create(plan, token="late-answer")
    service.faults.add(Fault.ANSWER_LATE, "AddJobFlowSteps")
    with pytest.raises(Unavailable):
        backend.submit(cluster, backend.plan_job(spec), token="late-answer")
    job = again.submit(cluster, backend.plan_job(spec), token="late-answer")
    assert [(item.id, [*item.jobs]) for item in service.clusters.values()] == [(cluster, [job])]
    assert (service.calls["RunJobFlow"], service.calls["AddJobFlowSteps"]) == (1, 1)


@only_emr
def test_errors_name_the_action_and_the_field(service, monkeypatch):
    backend = SparkClusterHook().backend
    service.faults.add(Fault.DENIED, "ListClusters", times=None)
    with pytest.raises(AccessDenied, match="Grant elasticmapreduce:ListClusters to whoever credentials_conn_id signs in as"):
        list(backend.owned())
    service.faults.clear()
    assert SparkClusterHook().test_connection() == (True, f"emr: ready, 0 live clusters (staging in s3://{BUCKET}/dags)")
    for field, value, message in (
        ("staging_uri", None, "extra field 'staging_uri': expected where programs and results are kept"),
        ("staging_uri", "file:///x", "extra field 'staging_uri': got 'file:///x': takes a folder in a bucket"),
        ("credentials_conn_id", "nobody", "extra field 'credentials_conn_id': got 'nobody': create a connection"),
    ):
        fields = {"backend": "emr", "credentials_conn_id": "aws_fake", "staging_uri": f"s3://{BUCKET}/dags", field: value}
        monkeypatch.setenv("AIRFLOW_CONN_SPARK_CLUSTER_DEFAULT", json.dumps({"conn_type": "spark_cluster", "extra": fields}))
        with pytest.raises(ConfigurationError, match=message):
            list(SparkClusterHook().backend.owned())


def test_states_of_the_fake_are_the_services_own():
    assert {"COMPLETED", "SUCCESS"} < {*_ENDED}
