"""The MLflow connection and its operators, on MLflow on SQLite and on a server."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import psutil
import pytest
from airflow.sdk import DAG
from conftest import CANARY

from airflow_ml_provider.cluster import SparkCluster
from airflow_ml_provider.core.errors import AccessDenied, ConfigurationError, NotFound, ServiceError, Unavailable
from airflow_ml_provider.hooks import mlflow as hooks
from airflow_ml_provider.hooks.mlflow import MLflowHook
from airflow_ml_provider.models import rest, tracking
from airflow_ml_provider.models.rest import RestClient
from airflow_ml_provider.operators.mlflow import EvaluateModelOperator, PromoteModelOperator, RegisterModelOperator
from airflow_ml_provider.operators.tracking import Tracking

pytestmark = pytest.mark.filterwarnings("ignore")


def connect(monkeypatch, **fields):
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps({"conn_type": "mlflow", **fields}))


@pytest.fixture(scope="session")
def served(tmp_path_factory, database):
    """The address of a real MLflow server, and its process."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(database, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log, subprocess.Popen([*command, *stores], env=env, stdout=log, stderr=log) as process:
        try:
            _wait(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def server(served):
    """The address of a real MLflow server."""
    return served[0]


def _wait(url, process):
    for _ in range(1800):
        assert process.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)


@pytest.fixture(params=["sqlite", "server"])
def mlflow(request, monkeypatch, tmp_path):
    """A connection to each kind of MLflow."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("database"), tmp_path)
        connect(monkeypatch, host=f"sqlite:///{tmp_path}/mlflow.db")
    else:
        connect(monkeypatch, host=request.getfixturevalue("server"), login="user", password=CANARY)
    return MLflowHook()


def logged_model(hook, run_id, auc):
    """What a training job does."""
    hook.client.log_metric(run_id, "auc", auc)
    model = hook.client.create_logged_model(hook.client.get_run(run_id).info.experiment_id, source_run_id=run_id)
    hook.client.finalize_logged_model(model.model_id, "READY")
    return {"run_id": run_id, "metrics": {"auc": auc}}


def test_from_a_jobs_run_to_the_champion(run, service, program, mlflow, request, log):
    name = request.node.name.replace("[", "_").strip("]")
    with DAG(name, schedule=None) as dag, SparkCluster("spark", mlflow_conn_id="mlflow_default") as cluster:
        cluster.job("train", program=program)
    done = run(dag)
    assert done.state == "success"
    found = logged_model(mlflow, done.xcom("spark.train", "mlflow_run_id"), 0.8)
    (made,) = service.clusters.values()
    (job,) = made.jobs.values()
    assert job.plan["env"]["MLFLOW_RUN_ID"] == found["run_id"]
    assert CANARY not in json.dumps(job.plan)
    tags = mlflow.client.get_run(found["run_id"]).data.tags
    assert tags["airflow.task_id"] == "spark.train"
    assert mlflow.client.get_run(tags["mlflow.parentRunId"]).info.status == "FINISHED"
    with DAG(f"{name}_promotes", schedule=None) as dag:
        register = RegisterModelOperator(task_id="register", model_name=name, candidates=[found], metric="auc")
        gate = EvaluateModelOperator(task_id="gate", model=register.output, metric="auc", threshold="0.7")
        PromoteModelOperator(task_id="promote", gate=gate.output)
    done = run(dag)
    assert done.state == "success"
    assert str(mlflow.client.get_registered_model(name).aliases["champion"]) == done.xcom("promote")["version"]
    done.run_again("register", cleared=True)
    done.run_again("promote", cleared=False)
    assert len(mlflow.client.search_model_versions(f"name = '{name}'")) == 1
    assert done.xcom("promote")["uri"] == f"models:/{name}@champion"
    assert CANARY not in log()
    assert not any(key.startswith("MLFLOW_TRACKING") for key in os.environ)


@pytest.fixture
def experiment(mlflow, request, tmp_path):
    return tracking.experiment_id(mlflow.runs, request.node.name, tmp_path.as_uri())


def test_a_run_is_found_again_whoever_asks(mlflow, experiment):
    runs = mlflow.runs
    assert isinstance(runs, RestClient) == mlflow.connection.uri.startswith("http")
    with ThreadPoolExecutor(4) as pool:
        parents = list(pool.map(lambda _: tracking.parent_run(runs, experiment, "run", "a run"), range(4)))
    assert len({tracking.parent_run(runs, experiment, "run", "a run"), *parents[-1:]}) <= 2
    parent = tracking.parent_run(runs, experiment, "run", "a run")
    job = tracking.job_run(runs, experiment, parent, "token", "train", {"airflow.dag_id": "d"})
    assert tracking.job_run(runs, experiment, parent, "token", "train", {}) == job
    assert tracking.job_run(runs, experiment, parent, "other", "train", {}) != job
    run = mlflow.client.get_run(job)
    assert (run.data.tags["mlflow.parentRunId"], run.data.tags["airflow.dag_id"]) == (parent, "d")
    assert (run.info.run_name, run.info.status) == ("train", "RUNNING")


def test_the_end_of_the_parent_ends_what_still_runs(mlflow, experiment, request):
    runs = mlflow.runs
    parent = tracking.parent_run(runs, experiment, "run", "a run")
    done, lost = (tracking.job_run(runs, experiment, parent, token, "job", {}) for token in ("a", "b"))
    tracking.end_run(runs, done, succeeded=True)
    tracking.end_parent(runs, request.node.name, "run", succeeded=False)
    ended = [mlflow.client.get_run(run).info for run in (parent, done, lost)]
    assert [info.status for info in ended] == ["FAILED", "FINISHED", "KILLED"]
    assert all(info.end_time >= info.start_time for info in ended)
    assert tracking.parent_run(runs, experiment, "run", "a run") == parent
    assert mlflow.client.get_run(parent).info.status == "RUNNING"
    tracking.end_parent(runs, "no such experiment", "run", succeeded=True)


def test_a_deleted_experiment_comes_back(mlflow, experiment, request):
    mlflow.client.delete_experiment(experiment)
    assert tracking.experiment_id(mlflow.runs, request.node.name) == experiment
    assert mlflow.client.get_experiment(experiment).lifecycle_stage == "active"


class Answers(BaseHTTPRequestHandler):
    """A server that answers with one status after the other, and notes who asked."""

    statuses: ClassVar[list[int]] = []
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.headers["Authorization"])
        self.send_response(self.statuses.pop(0))
        self.end_headers()
        self.wfile.write(b'{"run": {"info": {"run_id": "r", "status": "RUNNING", "start_time": 1}}, "message": "because"}')

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def answers():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_passing_fault_of_the_server_is_asked_again(answers):
    Answers.statuses, Answers.asked = [503, 429, 200], []
    assert RestClient(answers, token="t").get_run("r").info.run_id == "r"
    assert Answers.asked == ["Bearer t"] * 3


@pytest.mark.parametrize(("status", "kind"), [(401, AccessDenied), (403, AccessDenied), (404, NotFound), (400, ServiceError)])
def test_a_refusal_is_told_at_once_with_its_reason(answers, status, kind):
    Answers.statuses = [status]
    with pytest.raises(kind, match=f"MLflow at {answers}, runs/get: {status} because"):
        RestClient(answers, ("user", "password")).get_run("r")


def test_a_server_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(rest, "_ATTEMPTS", 1)
    with pytest.raises(Unavailable, match=r"MLflow at http://127\.0\.0\.1:9 does not answer"):
        RestClient("http://127.0.0.1:9").get_run("r")


@pytest.mark.parametrize("setting", ["MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_SERVER_CERT_PATH"])
def test_a_worker_set_up_for_mlflows_own_client_has_it(monkeypatch, setting):
    connect(monkeypatch, host="https://x.example")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    assert isinstance(MLflowHook().runs, RestClient)
    monkeypatch.setenv(setting, "x")
    assert not isinstance(MLflowHook().runs, RestClient)


def test_a_gate_that_says_no_fails_once(run, monkeypatch, tmp_path, database):
    shutil.copy(database, tmp_path)
    connect(monkeypatch, host=f"sqlite:///{tmp_path}/mlflow.db")
    hook = MLflowHook()
    made = hook.start_job_run(experiment="x", dag_run_key="k", parent_name="p", job_token="t", job_name="j", tags={})
    found = logged_model(hook, made.run_id, 0.6)
    with DAG("gate_says_no", schedule=None) as dag:
        register = RegisterModelOperator(task_id="register", model_name="m", candidates=found)
        gate = EvaluateModelOperator(task_id="gate", model=register.output, metric="auc", threshold=0.7, retries=3)
        PromoteModelOperator(task_id="promote", gate=gate.output)
    done = run(dag)
    assert done.states == {"register": "success", "gate": "failed", "promote": "upstream_failed"}
    assert done.ti("gate").try_number == 1


def test_a_dry_run_of_the_gate_hands_on_json(run, monkeypatch, tmp_path, database):
    shutil.copy(database, tmp_path)
    connect(monkeypatch, host=f"sqlite:///{tmp_path}/mlflow.db")
    hook = MLflowHook()
    made = hook.start_job_run(experiment="x", dag_run_key="k", parent_name="p", job_token="t", job_name="j", tags={})
    logged_model(hook, made.run_id, math.nan)
    with DAG("gate_of_nan", schedule=None) as dag:
        register = RegisterModelOperator(task_id="register", model_name="m", candidates=made.run_id)
        EvaluateModelOperator(task_id="gate", model=register.output, metric="auc", mode="dry_run")
    done = run(dag)
    verdict = done.xcom("gate")
    assert (verdict["good"], verdict["value"], verdict["reasons"]) == (False, None, ["auc is NaN"])


def test_the_fields_of_a_connection(monkeypatch):
    connect(monkeypatch, host="https://x.example", port=5000, password="t0ken", extra={"ui_url": "https://ui.example/"})
    hook = MLflowHook()
    assert hook.connection.uri == "https://x.example:5000"
    assert hook.connection.credentials == {"MLFLOW_TRACKING_TOKEN": "t0ken"}
    assert hook.model_url("a b", "3") == "https://ui.example/#/models/a%20b/versions/3"
    assert "t0ken" not in repr(hook.connection)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "field 'host' .Tracking URI.: is empty"),
        ({"host": "ftp://x"}, "got 'ftp://x': takes http"),
        ({"host": "http://me:pass@x"}, "holds credentials: put them into"),
        ({"host": "http://x", "login": "me"}, "field 'password': is empty"),
        ({"host": "http://x", "extra": {"url": 1}}, "no such field: 'url': takes ui_url"),
    ],
)
def test_a_wrong_connection_says_so(monkeypatch, fields, problem):
    connect(monkeypatch, **fields)
    with pytest.raises(ConfigurationError, match=problem):
        _ = MLflowHook().connection
    good, message = MLflowHook().test_connection()
    assert not good
    assert "mlflow_default" in message


def test_the_test_button(mlflow, monkeypatch):
    assert mlflow.test_connection() == (True, f"{mlflow.connection.uri}: ready")
    connect(monkeypatch, host="http://127.0.0.1:9")
    good, message = MLflowHook().test_connection()
    assert not good
    assert "127.0.0.1" in message


class Fault:
    """An address whose connections meet a fault, and later reach a real server.

    :param refused: how many connections are closed at once.
    """

    def __init__(self, server, refused):
        self.refused = refused
        self.target = server.removeprefix("http://").split(":")
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client = self.socket.accept()[0]
                self.refused -= 1
                if self.refused >= 0:
                    client.close()
                    continue
                beyond = socket.create_connection(self.target)
                for one, other in ((client, beyond), (beyond, client)):
                    threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    def copy(self, one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@pytest.fixture
def down(request, monkeypatch):
    """The address of a server that is not there, or of one that takes connections and never answers."""
    monkeypatch.setattr(hooks, "TRACKING_LIMIT", 2.0)
    if request.param == "refused":
        yield "http://127.0.0.1:9"
    else:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            yield f"http://127.0.0.1:{silent.getsockname()[1]}"


@pytest.mark.parametrize("down", ["refused", "silent"], indirect=True)
@pytest.mark.parametrize("library", [False, True])
def test_a_job_runs_while_mlflow_is_down(run, service, program, down, library, monkeypatch, caplog, request):
    if library:
        monkeypatch.setenv("MLFLOW_WORKSPACE", "one")
    connect(monkeypatch, host=down)
    name = request.node.name.translate(str.maketrans("[]", "__")).strip("_")
    with DAG(name, schedule=None) as dag, SparkCluster("spark", mlflow_conn_id="mlflow_default") as cluster:
        cluster.job("train", program=program)
    done = run(dag)
    assert done.state == "success"
    (made,) = service.clusters.values()
    (job,) = made.jobs.values()
    env = {key: value for key, value in job.plan["env"].items() if key.startswith("MLFLOW")}
    assert env == {"MLFLOW_TRACKING_URI": down, "MLFLOW_EXPERIMENT_NAME": name}
    said = [record.message for record in caplog.records if record.levelname == "WARNING" and down in record.message]
    assert len(said) == 2
    assert said[0].startswith("MLflow connection mlflow_default: the job 'train' runs without an MLflow run: MLflow at ")
    assert said[1].startswith("MLflow connection mlflow_default: the MLflow run of the DAG run ")


def test_a_run_is_ended_when_the_server_is_back(served, monkeypatch, caplog):
    uri, process = served
    connect(monkeypatch, host=uri)
    hook = MLflowHook()
    made = hook.start_job_run(experiment="hung", dag_run_key="k", parent_name="p", job_token="t", job_name="j", tags={})
    monkeypatch.setattr(hooks, "TRACKING_LIMIT", 1.0)
    serving = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    try:
        for one in serving:
            one.suspend()
        Tracking("mlflow_default", None).end(made.run_id, succeeded=True)
    finally:
        for one in serving:
            one.resume()
    assert [record.levelname for record in caplog.records if made.run_id in record.message] == ["WARNING"]
    monkeypatch.setattr(hooks, "TRACKING_LIMIT", 60.0)
    Tracking("mlflow_default", None).end(made.run_id, succeeded=True)
    assert hook.client.get_run(made.run_id).info.status == "FINISHED"


def test_a_connection_that_is_wrong_fails_the_job(run, service, program, monkeypatch, log):
    connect(monkeypatch, host="ftp://x")
    with DAG("tracked_by_nobody", schedule=None) as dag, SparkCluster("spark", mlflow_conn_id="mlflow_default") as cluster:
        cluster.job("train", program=program)
    states = run(dag).states
    assert (states["spark.train"], states["spark.terminate_cluster"]) == ("failed", "success")
    assert "got 'ftp://x': takes http" in log()


def test_registration_asks_again_until_the_server_is_back(run, server, monkeypatch, log):
    connect(monkeypatch, host=server)
    hook = MLflowHook()
    made = hook.start_job_run(experiment="again", dag_run_key="k", parent_name="p", job_token="t", job_name="j", tags={})
    found = logged_model(hook, made.run_id, 0.6)
    fault = Fault(server, refused=2)
    connect(monkeypatch, host=fault.uri)
    with DAG("registers_again", schedule=None) as dag:
        RegisterModelOperator(task_id="register", model_name="again", candidates=found)
    assert run(dag).state == "success"
    assert log().count(f"MLflow at {fault.uri} does not answer") == 2
    fault.socket.close()


@pytest.mark.parametrize("down", ["refused", "silent"], indirect=True)
def test_registration_without_a_server_is_a_passing_fault(down, monkeypatch):
    monkeypatch.setattr(hooks, "_PROMPT", {**hooks._PROMPT, "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"})
    connect(monkeypatch, host=down)
    with pytest.raises(Unavailable, match=f"MLflow at {down} does not answer"):
        MLflowHook().ask(lambda client: client.search_registered_models())


def test_an_answer_that_is_not_mlflows_is_named():
    class Page(Answers):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        with pytest.raises(ServiceError, match="the answer is not a JSON object: is this a tracking server"):
            RestClient(f"http://127.0.0.1:{page.server_port}").get_run("r")
        page.shutdown()
