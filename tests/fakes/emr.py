"""EMR and EMR Serverless as a server, in front of moto's, which answers for S3, STS and all else.

moto 5.2.5 has no cancelled steps, auto-termination, managed scaling or fleets, its clusters are WAITING at once, its steps never
advance, and Serverless succeeds at once and forgets client tokens. So this fake answers both services' calls itself. It checks
payloads against botocore's model, lets states take their time, ends what is idle or old, and runs each step's command on this
machine with the step's S3 objects copied beside it, as EMR's own filesystem would show them.

``python -m tests.fakes.emr PORT`` serves until it is killed. ``/_calls`` tells how often each call was made, as JSON.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.session import get_session
from botocore.validate import ParamValidator
from moto.moto_api._internal.models import moto_api_backend
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.fakes import emr_sessions
from tests.fakes.emr_faults import Faulty, name_of_s3_call
from tests.fakes.faults import Faults

REGION, ACCOUNT = "eu-west-1", "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/jobs"
BUCKET = "staging"
_ENDED = ("COMPLETED", "SUCCESS", "FAILED", "CANCELLED", "INTERRUPTED")
_GONE = ("TERMINATED", "TERMINATED_WITH_ERRORS", "STOPPED")
_LOADED = {name: get_session().get_service_model(name) for name in ("emr", "emr-serverless")}
_ROUTES = {
    ("POST", r"/applications"): "CreateApplication",
    ("GET", r"/applications"): "ListApplications",
    ("GET", r"/applications/([^/]+)"): "GetApplication",
    ("DELETE", r"/applications/([^/]+)"): "DeleteApplication",
    ("POST", r"/applications/([^/]+)/stop"): "StopApplication",
    ("POST", r"/applications/([^/]+)/jobruns"): "StartJobRun",
    ("GET", r"/applications/([^/]+)/jobruns"): "ListJobRuns",
    ("GET", r"/applications/([^/]+)/jobruns/([^/]+)"): "GetJobRun",
    ("DELETE", r"/applications/([^/]+)/jobruns/([^/]+)"): "CancelJobRun",
    ("GET", r"/applications/([^/]+)/jobruns/([^/]+)/dashboard"): "GetDashboardForJobRun",
    ("POST", r"/applications/([^/]+)/sessions"): "StartSession",
    ("GET", r"/applications/([^/]+)/sessions"): "ListSessions",
    ("GET", r"/applications/([^/]+)/sessions/([^/]+)"): "GetSession",
    ("DELETE", r"/applications/([^/]+)/sessions/([^/]+)"): "TerminateSession",
    ("GET", r"/applications/([^/]+)/sessions/([^/]+)/endpoint"): "GetSessionEndpoint",
}


class Refused(Exception):
    """An error answer: the service's code, its message, the status."""

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


@dataclass(eq=False)
class Job:
    """A step or a job run.

    :param told: what it wrote to its standard error.
    :param hidden: looks for which the service does not show it.
    """

    id: str
    payload: Mapping[str, Any]
    states: tuple[str, str]
    state: str = "PENDING"
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    process: subprocess.Popen[bytes] | None = None
    told: str = ""
    hidden: int = 0

    def end(self, state: str) -> None:
        if self.state not in _ENDED:
            self.state, self.ended = state, time.time()
            if self.process and self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)


@dataclass(eq=False)
class Cluster:
    """A job flow or an application.

    :param idle: seconds until it ends itself when no job runs; None for never.
    :param lifetime: the same, whatever runs.
    :param hidden: looks for which the service does not show it.
    """

    id: str
    payload: Mapping[str, Any]
    state: str
    slots: threading.Semaphore = field(default_factory=partial(threading.Semaphore, 10))
    idle: float | None = None
    lifetime: float | None = None
    reason: Mapping[str, str] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    ready: float | None = None
    ended: float | None = None
    jobs: dict[str, Job] = field(default_factory=dict)
    hidden: int = 0

    @property
    def busy_until(self) -> float:
        if any(job.state not in _ENDED for job in self.jobs.values()):
            return time.time()
        return max([self.ready or time.time(), *(job.ended or 0 for job in self.jobs.values())])

    def end(self, state: str, job_state: str, **reason: str) -> None:
        if self.state not in _GONE:
            self.state, self.reason, self.ended = state, reason, time.time()
            for job in self.jobs.values():
                job.end(job_state)


@dataclass(frozen=True)
class Spark:
    """A Spark on this machine for steps.

    :param java_home: of its JDK.
    :param jars: what it needs for S3.
    :param master: as ``spark-submit`` takes it.
    :param python: the interpreter, which has PySpark.
    """

    java_home: Path
    jars: tuple[Path, ...]
    master: str = "local[2]"
    python: Path = Path(sys.executable)

    def step(self, services: Services, cluster: Cluster, job: Job, folder: Path) -> tuple[list[str], dict[str, str]]:
        """The step's own command as EMR would run it, and its environment."""
        if "HadoopJarStep" in job.payload:
            submit = job.payload["HadoopJarStep"]["Args"]
        else:
            asked = job.payload["jobDriver"]["sparkSubmit"]
            given = shlex.split(asked.get("sparkSubmitParameters", ""))
            submit = ["spark-submit", *given, asked["entryPoint"], *asked["entryPointArguments"]]
        (folder / "conf").mkdir()
        lines = [f"{key} {value}\n" for key, value in self._properties(services, cluster).items()]
        (folder / "conf" / "spark-defaults.conf").write_text("".join(lines).replace("\\", "\\\\"))
        env = {"JAVA_HOME": str(self.java_home), "PYSPARK_PYTHON": str(self.python), "SPARK_LOCAL_IP": "127.0.0.1"}
        return [str(self.python.with_name(submit[0])), *submit[1:]], {**env, "SPARK_CONF_DIR": str(folder / "conf")}

    def _properties(self, services: Services, cluster: Cluster) -> dict[str, str]:
        """The cluster's own, over what the machines have: S3 as their role opens it."""
        asked = cluster.payload.get("Configurations", cluster.payload.get("runtimeConfiguration", ()))
        given = [item for item in asked if item.get("Classification", item.get("classification")) == "spark-defaults"]
        classes = ":".join(map(str, self.jars))
        return {
            "spark.master": self.master,
            "spark.ui.enabled": "false",
            "spark.log.level": "WARN",
            "spark.driver.memory": "1g",
            "spark.driver.extraClassPath": classes,
            "spark.executor.extraClassPath": classes,
            "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
            "spark.hadoop.fs.s3a.endpoint": services.inner,
            "spark.hadoop.fs.s3a.endpoint.region": REGION,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
            "spark.hadoop.fs.s3a.access.key": "of-the-machines-role",
            "spark.hadoop.fs.s3a.secret.key": "of-the-machines-role",
            **{key: value for item in given for key, value in item.get("Properties", item.get("properties")).items()},
        }


class Services:
    """Both control planes.

    :param speed: how many of the services' seconds pass in one of ours, for limits. The default idle limit of EMR Serverless
        must outlast what a busy machine takes for a few calls.
    :param spark: runs the steps by ``spark-submit``, with the properties of their cluster; without it their script runs alone.
    Its :attr:`faults` hit clients of :attr:`endpoint`. What it does by itself goes through :attr:`inner`, which works.
    """

    def __init__(self, speed: float = 100.0, spark: Spark | None = None) -> None:
        self.speed, self.spark = speed, spark
        self.faults = Faults(lambda refused: self.listen(not refused))
        self.listen: Callable[[bool], None] = lambda _: None
        self.looks = 0
        self.calls: Counter[str] = Counter()
        self.clusters: dict[str, Cluster] = {}
        self.uis: set[str] = set()
        self.sessions = emr_sessions.Sessions(self)
        self.lock = threading.RLock()
        self.runs = 0
        self.root = Path(tempfile.mkdtemp(prefix="emr-"))
        self.endpoint = self.inner = ""

    def add(self, cluster: Cluster) -> Cluster:
        """Know a cluster that no call has made."""
        return self.clusters.setdefault(cluster.id, cluster)

    def later(self, seconds: float) -> None:
        """Have every object of the staging bucket be that much older, as if time had passed: claims and notes of ids age."""
        for key in s3_backends[ACCOUNT]["aws"].buckets[BUCKET].keys.values():
            key.last_modified -= timedelta(seconds=seconds)

    def call(self, service: str, name: str, given: dict[str, Any], looks: int = 0) -> dict[str, Any]:
        """Answer one call.

        :param looks: for which what it makes is not shown.
        """
        with self.lock:
            self.calls[name] += 1
            self.looks = looks
            if name in ("RunJobFlow", "AddJobFlowSteps", "CreateApplication", "StartJobRun", "CancelSteps", "StartSession"):
                shape = _LOADED[service].operation_model(name).input_shape
                if (report := ParamValidator().validate(given, shape)).has_errors():
                    raise Refused("ValidationException", report.generate_report())
            for cluster in self.clusters.values():
                self._advance(cluster)
            if name in emr_sessions.CALLS:
                return self.sessions.call(service, name, given)
            answer: dict[str, Any] = getattr(self, xform_name(name))(**given)
            return answer

    # EMR

    def run_job_flow(self, **given: Any) -> dict[str, Any]:
        slots = threading.Semaphore(given.get("StepConcurrencyLevel", 1))
        idle = given.get("AutoTerminationPolicy", {}).get("IdleTimeout")
        made = Cluster(f"j-{_id(13)}", given, "STARTING", slots, idle=idle, hidden=self.looks)
        for action in given.get("BootstrapActions", ()):
            args = action["ScriptBootstrapAction"].get("Args", [])
            assert self._object(action["ScriptBootstrapAction"]["Path"]).startswith(b"#!/bin/bash")
            made.lifetime = float(args[args.index("--lifetime") + 1]) if "--lifetime" in args else None
        self.clusters[made.id] = made
        return {"JobFlowId": made.id, "ClusterArn": f"arn:aws:elasticmapreduce:{REGION}:{ACCOUNT}:cluster/{made.id}"}

    def describe_cluster(self, ClusterId: str) -> dict[str, Any]:
        cluster = self._cluster(ClusterId)
        arn = f"arn:aws:elasticmapreduce:{REGION}:{ACCOUNT}:cluster/{cluster.id}"
        more = {
            "ClusterArn": arn,
            "Tags": cluster.payload.get("Tags", []),
            "ReleaseLabel": cluster.payload["ReleaseLabel"],
            "LogUri": cluster.payload["LogUri"].replace("s3://", "s3n://"),
        }
        return {"Cluster": {**_summary(cluster), **more}}

    def list_clusters(self, ClusterStates: Any = None, CreatedAfter: float = 0, Marker: str = "0") -> dict[str, Any]:
        flows = [item for item in self.clusters.values() if item.id.startswith("j-") and item.created >= CreatedAfter]
        wanted = [item for item in reversed(flows) if not ClusterStates or item.state in ClusterStates]
        return _page("Clusters", [_summary(item) for item in _shown(wanted)], "Marker", Marker)

    def terminate_job_flows(self, JobFlowIds: list[str]) -> dict[str, Any]:
        for cluster in JobFlowIds:
            self._cluster(cluster).end("TERMINATED", "INTERRUPTED", Code="USER_REQUEST", Message="Terminated by user request")
        return {}

    def add_job_flow_steps(self, JobFlowId: str, Steps: list[dict[str, Any]], **_: Any) -> dict[str, Any]:
        cluster = self._cluster(JobFlowId)
        if cluster.state in _GONE:
            text = "A job flow that is shutting down, terminated, or finished may not be modified."
            raise Refused("ValidationException", text)
        made = [Job(f"s-{_id(13)}", step, ("COMPLETED", "FAILED"), hidden=self.looks) for step in Steps]
        for job in made:
            args = job.payload["HadoopJarStep"]["Args"]
            log = f"{cluster.payload['LogUri'].rstrip('/')}/{cluster.id}/steps/{job.id}/stdout.gz"
            self._start(cluster, job, args[-2:], log, _exported(cluster.payload))
        return {"StepIds": [job.id for job in made]}

    def list_steps(self, ClusterId: str, StepIds: Any = None, Marker: str = "0", **_: Any) -> dict[str, Any]:
        found = self._cluster(ClusterId).jobs
        shown = _shown([job for job in reversed(found.values()) if not StepIds or job.id in StepIds])
        if StepIds and not {*StepIds} <= {job.id for job in shown}:
            raise Refused("InvalidRequestException", "Step id is not valid.")
        steps = [_step(job) for job in shown]
        return _page("Steps", steps, "Marker", Marker)

    def describe_step(self, ClusterId: str, StepId: str) -> dict[str, Any]:
        return {"Step": self.list_steps(ClusterId, [StepId])["Steps"][0]}

    def cancel_steps(self, ClusterId: str, StepIds: list[str], **_: Any) -> dict[str, Any]:
        found = self._cluster(ClusterId).jobs
        for step in StepIds:
            if step in found and not found[step].hidden:
                found[step].end("CANCELLED")
        return {"CancelStepsInfoList": []}

    def create_persistent_app_ui(self, TargetResourceArn: str, **_: Any) -> dict[str, Any]:
        self._cluster(TargetResourceArn.rpartition("/")[2])
        return {"PersistentAppUIId": f"p-{TargetResourceArn.rpartition('-')[2]}"}

    def get_persistent_app_ui_presigned_url(self, PersistentAppUIId: str, PersistentAppUIType: str) -> dict[str, Any]:
        ready = PersistentAppUIId in self.uis  # it takes a while
        self.uis.add(PersistentAppUIId)
        return {"PresignedURLReady": ready, "PresignedURL": f"https://{PersistentAppUIId}.example/shs?token={uuid.uuid4().hex}"}

    # EMR Serverless

    def create_application(self, clientToken: str, **given: Any) -> dict[str, Any]:
        made = next((item for item in self.clusters.values() if item.payload.get("clientToken") == clientToken), None)
        if made is None:
            stop = given.get("autoStopConfiguration", {"enabled": True, "idleTimeoutMinutes": 15})
            idle = stop["idleTimeoutMinutes"] * 60.0 if stop["enabled"] else None
            payload = {**given, "clientToken": clientToken}
            slots = threading.Semaphore(10)
            made = Cluster(f"00f{_id(13).lower()}", payload, "CREATING", slots, idle=idle, hidden=self.looks)
            self.clusters[made.id] = made
        return {"applicationId": made.id, "arn": _arn(made), "name": made.payload["name"]}

    def get_application(self, applicationId: str) -> dict[str, Any]:
        cluster = self._cluster(applicationId)
        return {"application": {**cluster.payload, **_application(cluster), "applicationId": cluster.id}}

    def list_applications(self, states: Any = None, nextToken: str = "0", **_: Any) -> dict[str, Any]:
        wanted = [item for item in self.clusters.values() if item.id.startswith("00f") and (not states or item.state in states)]
        return _page("applications", [_application(item) for item in _shown(wanted)], "nextToken", nextToken)

    def stop_application(self, applicationId: str) -> dict[str, Any]:
        cluster = self._cluster(applicationId)
        if any(job.state not in _ENDED for job in cluster.jobs.values()):
            raise Refused("ValidationException", "Application has running jobs")
        if any(item.cluster is cluster and item.state not in emr_sessions.ENDED for item in self.sessions.all.values()):
            raise Refused("ValidationException", "Application has running sessions")
        if cluster.state == "STARTED":
            cluster.end("STOPPED", "CANCELLED", Message="stopped on request")
        return {}

    def delete_application(self, applicationId: str) -> dict[str, Any]:
        cluster = self._cluster(applicationId)
        if cluster.state not in ("CREATED", "STOPPED"):
            raise Refused("ValidationException", f"Application must be CREATED or STOPPED, and is {cluster.state}")
        cluster.state, cluster.ended = "TERMINATED", time.time()
        return {}

    def start_job_run(self, applicationId: str, clientToken: str, **given: Any) -> dict[str, Any]:
        cluster = self._cluster(applicationId)
        if cluster.state == "TERMINATED":
            raise Refused("ValidationException", f"Application {applicationId} is terminated")
        job = next((item for item in cluster.jobs.values() if item.payload["clientToken"] == clientToken), None)
        if job is None:
            cluster.state, cluster.ended = "STARTED", None
            payload, states = {**given, "clientToken": clientToken}, ("SUCCESS", "FAILED")
            job = Job(f"00g{_id(13).lower()}", payload, states, "SUBMITTED", hidden=self.looks)
            submit = given["jobDriver"]["sparkSubmit"]
            logs = cluster.payload["monitoringConfiguration"]["s3MonitoringConfiguration"]["logUri"].rstrip("/")
            log = f"{logs}/applications/{cluster.id}/jobs/{job.id}/SPARK_DRIVER/stdout.gz"
            command = [submit["entryPoint"], *submit["entryPointArguments"]]
            self._start(cluster, job, command, log, _driver_env(cluster.payload))
        return {"applicationId": cluster.id, "jobRunId": job.id, "arn": _arn(cluster) + f"/jobruns/{job.id}"}

    def get_job_run(self, applicationId: str, jobRunId: str) -> dict[str, Any]:
        found = _run(self._cluster(applicationId), self._job(applicationId, jobRunId))
        return {"jobRun": {**found, "jobRunId": jobRunId}}

    def get_dashboard_for_job_run(self, applicationId: str, jobRunId: str) -> dict[str, Any]:
        self._job(applicationId, jobRunId)
        return {"url": f"https://{jobRunId}.dashboard.example/?token={uuid.uuid4().hex}"}

    def list_job_runs(self, applicationId: str, states: Any = None, nextToken: str = "0", **_: Any) -> dict[str, Any]:
        cluster = self._cluster(applicationId)
        wanted = [job for job in reversed(cluster.jobs.values()) if not states or job.state in states]
        return _page("jobRuns", [_run(cluster, job) for job in _shown(wanted)], "nextToken", nextToken)

    def cancel_job_run(self, applicationId: str, jobRunId: str) -> dict[str, Any]:
        job = self._job(applicationId, jobRunId)
        if job.state in _ENDED:
            raise Refused("ValidationException", f"Job run is {job.state}")
        job.end("CANCELLED")
        return {"applicationId": applicationId, "jobRunId": jobRunId}

    # what both do

    def _cluster(self, id_: str) -> Cluster:
        if id_ not in self.clusters or not _shown([self.clusters[id_]]):
            if id_.startswith("j-"):
                raise Refused("InvalidRequestException", f"Cluster id '{id_}' is not valid.")
            raise Refused("ResourceNotFoundException", f"Application {id_} does not exist", 404)
        return self.clusters[id_]

    def _job(self, cluster: str, job: str) -> Job:
        found = self._cluster(cluster).jobs.get(job)
        if found is None or not _shown([found]):
            raise Refused("ResourceNotFoundException", f"JobRun {job} does not exist", 404)
        return found

    def _advance(self, cluster: Cluster) -> None:
        """What time has done to a cluster since the last look."""
        now = time.time()
        if cluster.state in ("STARTING", "CREATING") and now - cluster.created > 0.02:
            cluster.state = "WAITING" if cluster.state == "STARTING" else "STARTED"
            cluster.ready = now
        if cluster.idle and (now - cluster.busy_until) * self.speed > cluster.idle:
            end = "TERMINATED" if cluster.id.startswith("j-") else "STOPPED"
            cluster.end(end, "CANCELLED", Code="ALL_STEPS_COMPLETED", Message="Auto-terminated: the cluster was idle")
        if cluster.lifetime and (now - cluster.created) * self.speed > cluster.lifetime:
            cluster.end(
                "TERMINATED_WITH_ERRORS", "INTERRUPTED", Code="INSTANCE_FAILURE", Message="The master node was terminated"
            )

    def _start(self, cluster: Cluster, job: Job, command: list[str], log: str, env: Mapping[str, str]) -> None:
        cluster.jobs[job.id] = job
        threading.Thread(target=self._run, args=(cluster, job, command, log, env), daemon=True).start()

    def _run(self, cluster: Cluster, job: Job, command: list[str], log: str, env: Mapping[str, str]) -> None:
        """One step: its objects beside it, its command run, its log and what it leaves put back."""
        with cluster.slots:
            try:
                script, folder = (self._copied(uri) for uri in command)
                for shared in ("files", "secrets.json", "cluster.json"):
                    self._copied(f"{command[1].partition('/jobs/')[0]}/{shared}")
                for described in (folder / "job.json", folder.parents[1] / "cluster.json"):
                    _write(described, described.read_bytes().replace(b"s3://", f"file://{self.root}/".encode()))
            except (ClientError, FileNotFoundError):  # its cluster was terminated, and its files are gone
                return job.end(job.states[1])
            before = {path.name for path in folder.iterdir()}
            asked, more = [sys.executable, str(script), f"file://{folder}"], {}
            if self.spark:
                asked, more = self.spark.step(self, cluster, job, folder)
            inherited = {key: os.environ[key] for key in ("PATH", "HOME", "JDK_JAVA_OPTIONS") if key in os.environ}
            with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err, self.lock:
                if job.state in _ENDED:
                    return None
                self.runs += 1
                job.state, job.started = "RUNNING", time.time()
                told = err if self.spark else subprocess.STDOUT
                job.process = subprocess.Popen(asked, env={**inherited, **more, **env}, stdout=out, stderr=told)
            code = job.process.wait()
            job.told = (folder / "stderr").read_text(errors="replace")
            self._put(log, gzip.compress((folder / "stdout").read_bytes()))
            if not self.spark:
                self._put_back(cluster, command[1], folder, before)
            with self.lock:
                job.end(job.states[bool(code)])

    def _put_back(self, cluster: Cluster, uri: str, folder: Path, before: set[str]) -> None:
        """What a script without Spark, whose job is in a folder, has left there and taken away."""
        if (outcome := folder / "outcome.json").exists() and cluster.state not in _GONE:
            self._put(f"{uri}/outcome.json", outcome.read_bytes())
        for name in before - {path.name for path in folder.iterdir()}:
            self._s3().delete_object(Bucket=_bucket(uri), Key=f"{_key(uri)}/{name}")

    def _copied(self, uri: str) -> Path:
        """The objects at a URI or under it, as files."""
        for item in self._s3().list_objects_v2(Bucket=_bucket(uri), Prefix=_key(uri)).get("Contents", ()):
            path = self.root / _bucket(uri) / item["Key"]
            if not path.exists():
                _write(path, self._s3().get_object(Bucket=_bucket(uri), Key=item["Key"])["Body"].read())
        return self.root / _bucket(uri) / _key(uri)

    def _object(self, uri: str) -> bytes:
        found: bytes = self._s3().get_object(Bucket=_bucket(uri), Key=_key(uri))["Body"].read()
        return found

    def _put(self, uri: str, data: bytes) -> None:
        self._s3().put_object(Bucket=_bucket(uri), Key=_key(uri), Body=data)

    def _s3(self) -> Any:
        return client(self.inner, "s3")


_CLIENTS: dict[str, Any] = {}


def client(endpoint: str, service: str, *, key: str = "canary-aws-key", **config: Any) -> Any:
    """A boto3 client of the server, made once."""
    from botocore.config import Config

    name = repr((endpoint, service, key, sorted(config.items())))
    if name not in _CLIENTS:
        keys = {"aws_access_key_id": key, "aws_secret_access_key": "canary-aws-secret", "region_name": REGION}
        _CLIENTS[name] = boto3.session.Session(**keys).client(service, endpoint_url=endpoint, config=Config(**config))
    return _CLIENTS[name]


def connections(services: Services, kind: str, *, secret: str, folder: str, **defaults: Any) -> dict[str, str]:
    """The variables that make Airflow's ``spark_cluster_default`` lead to the services.

    :param secret: the key that its AWS connection signs in with.
    :param folder: of the staging bucket.
    :param defaults: fields of every cluster.
    """
    extra = {"endpoint_url": services.endpoint, "region_name": REGION}
    credentials = {"conn_type": "aws", "login": "canary-aws-key", "password": secret, "extra": extra}
    fields = {"backend": kind, "credentials_conn_id": "aws_fake", "staging_uri": f"s3://{BUCKET}/{folder}", "defaults": defaults}
    return {
        "AIRFLOW_CONN_AWS_FAKE": json.dumps(credentials),
        "AIRFLOW_CONN_SPARK_CLUSTER_DEFAULT": json.dumps({"conn_type": "spark_cluster", "extra": fields}),
    }


def clients(services: Services, **config: Any) -> Callable[..., Any]:
    """What a backend takes: gives the client of a service, made once. None repeats a call by itself, so that a fault is seen.

    :param config: more of botocore's ``Config``, such as ``read_timeout``.
    """
    fixed = {"connect_timeout": 5, "read_timeout": 20, "retries": {"mode": "standard", "total_max_attempts": 1}}

    def give(service: str, *, repeats: bool = True) -> Any:
        assert repeats or "retries" not in config
        return client(services.endpoint, service, **{**fixed, **config})

    return give


class Application:
    """The WSGI application: both services here, all else moto's."""

    def __init__(self, services: Services) -> None:
        self.services, self.moto = services, DomainDispatcherApplication(create_backend_app)
        self.one_writer = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        target, signed = environ.get("HTTP_X_AMZ_TARGET", ""), environ.get("HTTP_AUTHORIZATION", "")
        looks = environ.get("tests.looks", 0)
        if environ["PATH_INFO"] == "/_calls":
            return _answer(start, 200, dict(self.services.calls))
        if not target.startswith("ElasticMapReduce.") and "/emr-serverless/" not in signed:
            self.services.calls["S3"] += "/s3/" in signed
            with self.one_writer if environ["REQUEST_METHOD"] == "PUT" else nullcontext():  # moto's conditions are not atomic
                return self.moto(environ, start)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        given = json.loads(body or b"{}")
        try:
            if target:
                return _answer(start, 200, self.services.call("emr", target.partition(".")[2], given, looks))
            return _answer(start, 200, self.services.call("emr-serverless", *_routed(environ, given), looks))
        except Refused as refused:
            error = {"__type": refused.code, "message": refused.message}
            return _answer(start, refused.status, error, ("x-amzn-errortype", refused.code))


def _named(environ: Mapping[str, Any]) -> tuple[str, str]:
    """A request's call and what it is about."""
    target, signed = environ.get("HTTP_X_AMZ_TARGET", ""), environ.get("HTTP_AUTHORIZATION", "")
    if "/s3/" in signed:
        return name_of_s3_call(environ)
    if target.startswith("ElasticMapReduce."):
        return target.partition(".")[2], ""
    try:
        return _routed(environ, {})[0], environ["PATH_INFO"]
    except Refused:
        return "", environ["PATH_INFO"]


def _routed(environ: Mapping[str, Any], given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    for (method, path), name in _ROUTES.items():
        if method == environ["REQUEST_METHOD"] and (found := re.fullmatch(path, environ["PATH_INFO"])):
            names = dict(zip(("applicationId", "sessionId" if "Session" in name else "jobRunId"), found.groups(), strict=False))
            asked = {key: value if key == "states" else value[0] for key, value in parse_qs(environ["QUERY_STRING"]).items()}
            return name, {**given, **asked, **names}
    raise Refused("UnknownOperationException", environ["PATH_INFO"], 404)


def _answer(start: Any, status: int, body: Any, *headers: tuple[str, str]) -> list[bytes]:
    data = json.dumps(body).encode()
    start(f"{status} -", [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(data))), *headers])
    return [data]


def _shown(items: list[Any]) -> list[Any]:
    """Those that are not hidden. A hidden one has one look less to stay so."""
    for item in (found := [item for item in items if item.hidden]):
        item.hidden -= 1
    return [item for item in items if item not in found]


def _summary(cluster: Cluster) -> dict[str, Any]:
    times = {"CreationDateTime": cluster.created, "ReadyDateTime": cluster.ready, "EndDateTime": cluster.ended}
    if cluster.lifetime and cluster.ended and cluster.reason.get("Code") == "INSTANCE_FAILURE":
        times["EndDateTime"] = cluster.created + cluster.lifetime
    status = {"State": cluster.state, "StateChangeReason": dict(cluster.reason), "Timeline": _some(times)}
    return {"Id": cluster.id, "Name": cluster.payload["Name"], "Status": status}


def _step(job: Job) -> dict[str, Any]:
    times = _some({"CreationDateTime": job.created, "StartDateTime": job.started, "EndDateTime": job.ended})
    return {"Id": job.id, "Name": job.payload["Name"], "Status": {"State": job.state, "Timeline": times}}


def _application(cluster: Cluster) -> dict[str, Any]:
    about = {"id": cluster.id, "name": cluster.payload["name"], "arn": _arn(cluster), "type": "Spark"}
    times = {"createdAt": cluster.created, "updatedAt": cluster.ended or cluster.created}
    return {**about, **times, "state": cluster.state, "stateDetails": cluster.reason.get("Message", "")}


def _run(cluster: Cluster, job: Job) -> dict[str, Any]:
    about = {"applicationId": cluster.id, "id": job.id, "name": job.payload["name"], "state": job.state, "stateDetails": ""}
    return {**about, "createdAt": job.created, "updatedAt": job.ended or job.started or job.created}


def _exported(payload: Mapping[str, Any]) -> dict[str, str]:
    nested = [item for top in payload.get("Configurations", ()) for item in top.get("Configurations", ())]
    return {key: value for item in nested if item["Classification"] == "export" for key, value in item["Properties"].items()}


def _driver_env(payload: Mapping[str, Any]) -> dict[str, str]:
    prefix, items = "spark.emr-serverless.driverEnv.", payload.get("runtimeConfiguration", ())
    return {
        key.removeprefix(prefix): value for item in items for key, value in item["properties"].items() if key.startswith(prefix)
    }


def _page(name: str, items: list[Any], marker: str, begin: str, size: int = 50) -> dict[str, Any]:
    more = {marker: str(int(begin) + size)} if len(items) > int(begin) + size else {}
    return {name: items[int(begin) : int(begin) + size], **more}


def _some(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _id(length: int) -> str:
    return uuid.uuid4().hex[:length].upper()


def _arn(cluster: Cluster) -> str:
    return f"arn:aws:emr-serverless:{REGION}:{ACCOUNT}:/applications/{cluster.id}"


def _write(path: Path, data: bytes) -> None:
    """At once, as others may be reading it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{uuid.uuid4().hex}")
    part.write_bytes(data)
    part.replace(path)


def _bucket(uri: str) -> str:
    return uri.split("/")[2]


def _key(uri: str) -> str:
    return uri.split("/", 3)[3]


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Say nothing."""


def _handle_error(*_: Any) -> None:
    """Say nothing of connections that a fault has closed."""


class _Listener:
    """A loopback port that an application can be taken from and given back to."""

    def __init__(self, app: Any, port: int = 0) -> None:
        self._app, self._port, self._server = app, port, None
        self.listen(True)
        self.url = f"http://127.0.0.1:{self._port}"

    def listen(self, wanted: bool) -> None:
        """Accept connections, or have them refused."""
        if self._server is None and wanted:
            self._server = make_server("127.0.0.1", self._port, self._app, threaded=True, request_handler=_Quiet)
            self._server.handle_error = _handle_error
            self._port = self._server.server_port
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        elif self._server is not None and not wanted:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextmanager
def serving(services: Services, port: int = 0) -> Iterator[Services]:
    """The services on a loopback port, with a bucket for staging, until the end."""
    app = Application(services)
    faulty = _Listener(Faulty(app, services.faults, _named), port)
    inner = _Listener(app)
    services.endpoint, services.inner, services.listen = faulty.url, inner.url, faulty.listen
    moto_api_backend.reset()  # moto's state is its process's
    place = {"LocationConstraint": REGION}
    client(services.inner, "s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
    try:
        yield services
    finally:
        for cluster in services.clusters.values():
            cluster.end("TERMINATED", "CANCELLED")
        for listener in (faulty, inner):
            listener.listen(False)
        shutil.rmtree(services.root, ignore_errors=True)


if __name__ == "__main__":
    with serving(Services(), int(sys.argv[1])):
        signal.pause()
