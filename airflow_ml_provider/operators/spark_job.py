"""The operator that runs a program on a Spark cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.bases.operator import BaseOperator

from airflow_ml_provider._compat import DEFERRABLE
from airflow_ml_provider.core.backend import MakesPages, ServesConnect
from airflow_ml_provider.core.caches import default_root
from airflow_ml_provider.core.errors import ClusterFailed, JobFailed, NotFound, ProviderError, WaitTimeout
from airflow_ml_provider.core.git import GitSource
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.polling import decide_cluster, decide_job, status_of
from airflow_ml_provider.core.spec import JobSpec, Spec
from airflow_ml_provider.core.state import ClusterStatus, JobState, JobStatus
from airflow_ml_provider.core.texts import read_text
from airflow_ml_provider.hooks.spark_cluster import SparkClusterHook
from airflow_ml_provider.links.mlflow import MLflowRunLink
from airflow_ml_provider.links.notebook import NotebookLink
from airflow_ml_provider.links.spark import SparkUILink, page_of_task
from airflow_ml_provider.operators.base import check_constants, final_errors, insist, is_constant, plain, refuse_unknown
from airflow_ml_provider.operators.context import airflow_env, work_of
from airflow_ml_provider.operators.notebooks import hand_on, is_of_then, page_of, secrets_of, tags_of, with_text
from airflow_ml_provider.operators.programs import STAND_IN, absolute, located, program_fields, storable, with_files
from airflow_ml_provider.operators.sources import program_folder, source_tags
from airflow_ml_provider.operators.tracking import Tracked, Tracking
from airflow_ml_provider.operators.waiting import Killed, SyncWait
from airflow_ml_provider.triggers.logs import LogTail
from airflow_ml_provider.triggers.pace import JOB_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.xcom_arg import XComArg

    from airflow_ml_provider.core.backend import Backend
    from airflow_ml_provider.core.identity import Work
    from airflow_ml_provider.operators.warm import Warm


_FAILED = (JobState.FAILED, JobState.CANCELLED)


class SparkJobOperator(BaseOperator):
    """Run a program on a Spark cluster and return the JSON value that it hands back.

    It waits for the cluster itself, submits the program once however often a worker dies, streams the driver's log into the
    task's log, and cancels the job when a user or the ``execution_timeout`` ends the task. A retry after a failed job starts a new
    job; a retry after a dead worker finds the job that runs, or its result. The fields of
    :class:`~airflow_ml_provider.core.spec.JobSpec` are templated.

    :param cluster: the handle of a cluster, or a :class:`~airflow_ml_provider.cluster.SparkCluster`.
    :param program: the path of a file, from the DAG file's folder when it is relative, whose suffix tells its kind (``.py``,
        ``.sql``, ``.ipynb``, ``.scala``, ``.R``); or a program such as ``SparkJar``. A file of SQL is a template.
    :param git: a :class:`~airflow_ml_provider.core.git.GitSource`: relative paths of the program start at the repository's top. All
        tasks and retries of a DAG run use one commit of it.
    :param args: more command-line arguments of the program. Nothing secret.
    :param files: what the program finds in its working directory; relative as ``program``.
    :param libraries: what it finds installed, such as ``PyPI("holidays==0.60")`` or ``"holidays==0.60"``; the files among them relative as ``program``.
    :param name: what people call the job, by default the task's id.
    :param timeout: how long the service lets the job run (``execution_timeout`` limits the task, with its wait for the cluster).
    :param mlflow_conn_id: with it, the job has a run in MLflow, which the program finds in its environment.
    :param experiment: of that run, by default the DAG's id.
    :param deferrable: wait in the triggerer, without a worker.
    :param poll_interval: seconds between looks, by default what suits the service.
    :param warm: on a service whose clusters serve Spark Connect (EMR, EMR Serverless), run the program beside the task, as a client
        of the cluster's one session: it begins in a second or two, and ends with its task, so another try of the task runs it anew.
        Elsewhere programs run as always; on the local backend they are warm anyway.
    :param stream_logs: copy the driver's log while the job runs; without it, only when it has ended.
    :raises JobFailed: the program failed or was cancelled.
    :raises ClusterFailed: the cluster failed or ended before the job did.
    :raises WaitTimeout: ``execution_timeout`` has passed while the task was deferred.
    """

    template_fields: Sequence[str] = (
        *("cluster", "program", "git", "args", "name", "env", "spark_conf", "files", "libraries", "timeout", "native"),
        *("mlflow_conn_id", "experiment"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "program": "py",
        "libraries": "py",
        "args": "py",
        "env": "json",
        "spark_conf": "json",
        "native": "json",
    }
    operator_extra_links = (SparkUILink(), MLflowRunLink(), NotebookLink())
    ui_color = "#f6d5a5"

    def __init__(
        self,
        *,
        cluster: Any,
        program: str | Spec | Mapping[str, Any] | XComArg,
        git: Spec | Mapping[str, Any] | None = None,
        args: Any = (),
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        spark_conf: Mapping[str, str] | None = None,
        files: Sequence[str] = (),
        libraries: Sequence[Spec | str | Mapping[str, Any]] = (),
        timeout: timedelta | str | None = None,
        native: Mapping[str, Any] | None = None,
        mlflow_conn_id: str | None = None,
        experiment: str | None = None,
        warm: bool = False,
        deferrable: bool = DEFERRABLE,
        poll_interval: float | None = None,
        stream_logs: bool = True,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        self.cluster = getattr(cluster, "handle", cluster)
        self.program = storable(plain(program))
        self.git = plain(git)
        self.args = args
        self.name = name or self.task_id.rpartition(".")[2]
        self.env = env or {}
        self.spark_conf = spark_conf or {}
        self.files = files
        self.libraries = plain(libraries)
        self.timeout = timeout
        self.native = native or {}
        self.mlflow_conn_id = mlflow_conn_id
        self.experiment = experiment
        self.warm = warm
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.stream_logs = stream_logs
        self.link_urls: dict[str, str] = {}
        self._killed = Killed()
        self._check_constants()

    @classmethod
    def partial(cls, *, cluster: Any = None, **kwargs: Any) -> Any:
        """The operator's fixed arguments, before ``.expand()`` or ``.expand_kwargs()``; ``cluster`` as in the operator itself."""
        if cluster is not None:
            kwargs["cluster"] = getattr(cluster, "handle", cluster)
        refuse_unknown(cls, kwargs)
        return super().partial(**kwargs)

    def execute(self, context: Context) -> Any:
        limit = self.execution_timeout
        return self._run(context, deadline=time.time() + limit.total_seconds() if limit else None)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Go on after the trigger: with the job once the cluster is ready, with the result once the job has ended."""
        note = event.get("note") or {}
        self.link_urls = dict(note.get("links") or {})
        if event["outcome"] != "ended":
            Tracking(self.mlflow_conn_id, self.experiment).end(note.get("mlflow_run_id"), succeeded=False)
            raise (WaitTimeout if event["outcome"] == "timeout" else ProviderError)(event["message"])
        handle = Handle.parse(event["handle"])
        if handle.job is None:
            return self._run(context, deadline=note.get("deadline"))
        backend = self._open(handle)
        self._killed.job = handle
        status = self._poll(backend, handle)
        tail = LogTail(backend, handle, self.log, event.get("cursor"))
        if not status.state.ended:
            self._defer(handle, cursor=tail.cursor, note=note)
        return self._finish(context, handle, status, tail, note.get("mlflow_run_id"))

    def on_kill(self) -> None:
        self._killed.kill()

    def _run(self, context: Context, deadline: float | None) -> Any:
        with final_errors():
            cluster = Handle.parse(self.cluster).of_cluster
            backend = self._open(cluster)
            spec = self._spec(context)
            warm = self._warm(backend, cluster)
            (warm.check if warm else backend.plan_job)(spec)
        status = self._ready(backend, cluster, deadline)
        if warm:
            return self._run_warm(context, warm, spec, status)
        with final_errors():
            job, tracked = self._submit(context, backend, cluster, spec, status)
        self._announce(context, job, spec, status, tracked)
        if self.deferrable:
            self._defer(job, note={"deadline": deadline, "mlflow_run_id": tracked.run_id, "links": self.link_urls})
        tail = LogTail(backend, job, self.log)
        ended = self._wait().for_job(job, tail if self.stream_logs else None)
        return self._finish(context, job, ended, tail, tracked.run_id)

    def _warm(self, backend: Backend, cluster: Handle) -> Warm | None:
        """What runs the program beside this task; None for a job of the service's own."""
        if not self.warm or not isinstance(backend, ServesConnect):
            return None
        from airflow_ml_provider.operators.warm import Warm  # late, as DAG files have no need of it

        return Warm(backend, cluster, default_root() / "cache", self._killed, self.poll_interval or 1.0, self.log)

    def _run_warm(self, context: Context, warm: Warm, spec: JobSpec, ready: ClusterStatus) -> Any:
        if error := decide_cluster(str(warm.cluster), ready).error:
            raise ClusterFailed(f"{error}. Clear the task that creates the cluster to get another one")
        work = self._work(context)
        tracking, tracked = self._tracked(context, warm.cluster, spec, work.token(work.prior_tries))
        self._push_links(context["ti"], ready.ui_url, page_of(spec, tracked.url), tracked)
        spec = spec.model_copy(update={"env": {**tracked.env, **spec.env}})
        succeeded = False
        try:
            with final_errors():
                secrets = {**tracked.secrets, **insist(partial(self._secrets, spec, context), log=self.log)}
                result = warm.run(spec, secrets, token=work.token(), attempt=work.prior_tries)
            succeeded = True
        finally:
            tracking.end(tracked.run_id, succeeded=succeeded)
        return hand_on(result, context["ti"]) if self._is_notebook else result

    def _open(self, handle: Handle) -> Backend:
        hook = insist(partial(SparkClusterHook.for_handle, handle), log=self.log)
        self._killed.backend = hook.backend
        self.poll_interval = self.poll_interval or hook.poll_interval
        return hook.backend

    def _ready(self, backend: Backend, cluster: Handle, deadline: float | None) -> ClusterStatus:
        """The cluster's status once it is ready or has ended: an ended one may still know this task's job."""
        key = cluster.cluster
        status = insist(lambda: status_of(backend.describe([key]), key), log=self.log)
        if decide_cluster(str(cluster), status).done:
            return status
        self.log.info("Waiting for cluster %s, which is %s", cluster, status.state)
        if self.deferrable:
            self._defer(cluster, note={"deadline": deadline})
        return self._wait().for_cluster(cluster)

    def _submit(
        self, context: Context, backend: Backend, cluster: Handle, spec: JobSpec, ready: ClusterStatus
    ) -> tuple[Handle, Tracked]:
        """The job of this piece of work: that of the first generation that did not fail, made if need be."""
        work = self._work(context)
        for generation in range(work.prior_tries + 1):
            job, tracked = self._submit_once(context, backend, cluster, spec, work.token(generation), ready)
            if generation == work.prior_tries or self._poll(backend, job).state not in _FAILED:
                break
            self.log.info("Job %s of an earlier attempt failed: asking for another one", job)
        self.log.info("The job is %s", job)
        return job, tracked

    def _work(self, context: Context) -> Work:
        """The piece of work that the job's token names."""
        return work_of(context)

    def _secrets(self, spec: JobSpec, context: Context) -> dict[str, str]:
        """The variables of the job that no plan shows."""
        return secrets_of(spec, context)

    def _submit_once(
        self, context: Context, backend: Backend, cluster: Handle, spec: JobSpec, token: str, ready: ClusterStatus
    ) -> tuple[Handle, Tracked]:
        tracking, tracked = self._tracked(context, cluster, spec, token)
        spec = spec.model_copy(update={"env": {**tracked.env, **spec.env}})
        own = insist(partial(self._secrets, spec, context), log=self.log)
        plan, secrets = backend.plan_job(spec), {**tracked.secrets, **own}
        try:
            ask = self._killed.unless_killed(partial(backend.submit, cluster.cluster, plan, token=token, secrets=secrets))
            job = insist(ask, log=self.log)
        except NotFound as error:
            tracking.end(tracked.run_id, succeeded=False)
            why = decide_cluster(str(cluster), ready).error or error
            raise ClusterFailed(f"{why}. Clear the task that creates the cluster to get another one") from error
        self._killed.started(cluster.with_job(job))
        return cluster.with_job(job), tracked

    def _tracked(self, context: Context, cluster: Handle, spec: JobSpec, token: str) -> tuple[Tracking, Tracked]:
        tracking = Tracking(self.mlflow_conn_id, self.experiment)
        tags = {**tags_of(spec, context), **source_tags(None if is_of_then(spec) else self.git, context)}
        return tracking, tracking.start(context, token=token, name=self.name, cluster=str(cluster), tags=tags)

    def _poll(self, backend: Backend, job: Handle) -> JobStatus:
        key = job.job or ""
        return insist(lambda: status_of(backend.poll(job.cluster, [key]), key), log=self.log)

    def _announce(self, context: Context, job: Handle, spec: JobSpec, cluster: ClusterStatus, tracked: Tracked) -> None:
        """Push what people and links want to see while the job runs."""
        ti = context["ti"]
        ti.xcom_push(key=JOB_KEY, value=str(job))
        ui = page_of_task(ti) if isinstance(self._killed.backend, MakesPages) else cluster.ui_url
        self._push_links(ti, ui, page_of(spec, tracked.url), tracked)

    def _push_links(self, ti: Any, ui: str | None, page: str, tracked: Tracked) -> None:
        urls = {SparkUILink.xcom_key: ui, MLflowRunLink.xcom_key: tracked.url, NotebookLink.xcom_key: page}
        self.link_urls = {key: url for key, url in urls.items() if url}
        for key, url in self.link_urls.items():
            ti.xcom_push(key=key, value=url)
        if tracked.run_id:
            ti.xcom_push(key="mlflow_run_id", value=tracked.run_id)

    def _finish(self, context: Context, job: Handle, status: JobStatus, tail: LogTail, mlflow_run_id: str | None) -> Any:
        tail.copy_rest()
        error = decide_job(str(job), status).error
        Tracking(self.mlflow_conn_id, self.experiment).end(mlflow_run_id, succeeded=error is None)
        if error is None:
            return hand_on(status.result, context["ti"]) if self._is_notebook else status.result
        if status.message:
            raise error
        last = tail.last_lines()
        raise JobFailed("\n".join([f"{error}. The driver's last lines:", *last]) if last else str(error))

    @property
    def _is_notebook(self) -> bool:
        return program_fields(self.program, ()).get("kind") == "notebook"

    def _wait(self) -> SyncWait:
        return SyncWait(self._killed, self.poll_interval or 1.0, self.log)

    def _defer(self, handle: Handle, *, note: Mapping[str, Any], cursor: str | None = None) -> None:
        from airflow_ml_provider.triggers.spark import SparkTrigger

        trigger = SparkTrigger(
            handle=str(handle),
            poll_interval=self.poll_interval or 1.0,
            deadline=note.get("deadline"),
            cursor=cursor,
            stream_logs=self.stream_logs,
            note=dict(note),
        )
        self._killed.job = None  # from now on the trigger's: the process may be ended while it leaves
        self.defer(trigger=trigger, method_name="execute_complete")

    def _spec(self, context: Context) -> JobSpec:
        """The job but for what tracking adds to its environment. It may fetch a repository and reads files: made once a try."""
        folder = program_folder(self.git, context)
        shipped = {
            "files": [absolute(file, folder, "files") for file in self.files],
            "libraries": with_files(self.libraries, folder),
            "env": {**airflow_env(context), **self.env},
        }
        spec = JobSpec(**{**self._fields(), "program": self._program(context, folder), **shipped})
        return with_text(spec, self.mlflow_conn_id)

    def _fields(self) -> dict[str, Any]:
        names = ("name", "env", "spark_conf", "files", "libraries", "timeout", "native")
        return {key: getattr(self, key) for key in names}

    def _program(self, context: Context, folder: Path) -> dict[str, Any]:
        found = located(program_fields(self.program, self.args or ()), folder)
        if found["kind"] != "sql" or "file" not in found:
            return found
        text = self.render_template(read_text(found.pop("file"), "program"), context)
        return {**found, "text": text}

    def _check_constants(self) -> None:
        if self.git is not None:
            check_constants(GitSource, self.git, url="https://host/repository")
        args = self.args if is_constant(self.args) else ()
        program = program_fields(self.program, args or ()) if is_constant(self.program) else STAND_IN
        check_constants(JobSpec, {**self._fields(), "program": program}, name="name", program=STAND_IN)
