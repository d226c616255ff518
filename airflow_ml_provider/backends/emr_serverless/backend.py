"""The calls of EMR Serverless. A cluster is an application, a job a job run on it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from airflow_ml_provider.backends.aws import jobs, sessions
from airflow_ml_provider.backends.aws.errors import listed, member, translated
from airflow_ml_provider.backends.aws.once import once
from airflow_ml_provider.backends.aws.releases import has_sessions, spark_of
from airflow_ml_provider.backends.aws.service import NO_FOLDERS, AwsService, Clients, not_visible
from airflow_ml_provider.backends.aws.tags import OWNER, decoded, encoded
from airflow_ml_provider.backends.emr_serverless import translate
from airflow_ml_provider.core.backend import NO_SECRETS, Endpoint, Feature, Plan, refuse_unsupported
from airflow_ml_provider.core.errors import NotFound, SpecError, Unavailable
from airflow_ml_provider.core.lowering import lowered
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec
from airflow_ml_provider.core.staging import Place, is_token, placed
from airflow_ml_provider.core.state import ClusterState, ClusterStatus, JobState, JobStatus, LogPage, OwnedCluster

_ONE_BY_ONE = 2
_PAGE = 50
_ROLE_TAG = "execution_role"
_KEPT = timedelta(days=1)
"""How long a stopped application is kept; it costs nothing, and its job runs can still be asked for."""
_LONGEST_NAME = 64
_NO_MACHINES = "EMR Serverless has workers of cores and memory, and no machines of your own"


@dataclass(frozen=True, slots=True)
class _Facts:
    """What never changes about an application."""

    name: str
    token: str
    label: str
    role: str
    folder: Place
    log: Place
    tags: Mapping[str, str]


class EmrServerlessBackend(AwsService):
    """Spark on Amazon EMR Serverless."""

    name: ClassVar[str] = "emr-serverless"
    limits: ClassVar[Mapping[Feature, str]] = {
        **NO_FOLDERS,
        Feature.GPUS: "EMR Serverless has no accelerators: use emr",
        Feature.INSTANCE_TYPE: f"{_NO_MACHINES}: set cores and memory",
        Feature.MAX_LIFETIME: "an application has no age: set idle_timeout, which stops it, and a job's timeout",
        Feature.SPOT: _NO_MACHINES,
    }

    def __init__(self, clients: Clients, staging_uri: str) -> None:
        super().__init__(clients, staging_uri)
        self._known: dict[str, _Facts] = {}

    def plan_cluster(self, spec: ClusterSpec) -> Plan:
        refuse_unsupported(self, spec)
        logs = {"s3MonitoringConfiguration": {"logUri": f"{self.staging}/logs/"}}
        return {"monitoringConfiguration": logs, **translate.plan_cluster(spec)}

    def plan_job(self, spec: JobSpec) -> Plan:
        spec = lowered(spec, self.programs)
        refuse_unsupported(self, spec)
        return translate.plan_job(spec)

    def create(self, plan: Plan, *, token: str, secrets: Mapping[str, str] = NO_SECRETS) -> str:
        folder = self.staging.of_cluster(token)

        def ask() -> str:
            payload = {key: value for key, value in plan.items() if key not in (translate.ROLE, jobs.STAGED_KEY)}
            payload["name"] = f"{payload['name'][: _LONGEST_NAME - len(token) - 1]}#{token}"
            payload["tags"] = {**payload["tags"], **encoded({_ROLE_TAG: plan[translate.ROLE]}), OWNER: token}
            payload = placed(payload, jobs.folders(folder, folder))
            with translated():
                answer = self.emr.create_application(clientToken=token, **payload)
            return str(member(answer, "applicationId"))

        def stage() -> None:
            jobs.stage_cluster(self.store, folder, plan[jobs.STAGED_KEY], secrets)

        return once(self.store, folder, self.ids, find=lambda: self._by_token(token), stage=stage, ask=ask, lasts=None)

    def terminate(self, cluster: str) -> None:
        facts = self._facts(cluster)
        if facts is None:
            if self._token_of_new(cluster):
                raise not_visible(cluster)
            return
        for job in list(self._job_runs(cluster, states=translate.LIVE_JOBS)):
            self.cancel(cluster, job["id"])
        if has_sessions(facts.label, self.name):
            self._end_sessions(cluster)
        self._end(cluster)
        self._forget(cluster, facts.token)

    def owned(self) -> Iterator[OwnedCluster]:
        for item in self._applications(states=translate.LIVE):
            if jobs.token_of(item.get("name", "")) and (facts := self._facts(item["id"])):
                state = translate.cluster_state(member(item, "state"))
                yield OwnedCluster(item["id"], facts.name, state, member(item, "createdAt"), facts.tags)

    def remains(self) -> Iterator[str]:
        """Applications of ours that were stopped a day ago or earlier. Until then their job runs can still be asked for."""
        for item in self._applications(states=["STOPPED"]):
            old = datetime.now(tz=UTC) - member(item, "updatedAt") > _KEPT
            if old and jobs.token_of(item.get("name", "")) and self._facts(item["id"]):
                yield str(item["id"])

    def submit(self, cluster: str, plan: Plan, *, token: str, secrets: Mapping[str, str] = NO_SECRETS) -> str:
        facts = self._own(cluster)
        job = facts.folder.of_job(token)

        def find() -> str | None:
            named = (item["id"] for item in self._job_runs(cluster) if jobs.has_token(item.get("name", ""), token))
            found = next(named, None)
            return str(found) if found else None

        def stage() -> None:
            self._insist_on_life(cluster)
            if not facts.role:
                raise NotFound(f"application {cluster} has lost its tag {_ROLE_TAG!r}: create another cluster")
            repeats = translate.repeats(plan)
            jobs.stage_job(self.store, facts.folder, job, plan[jobs.STAGED_KEY], secrets, repeats=repeats)

        def ask() -> str:
            payload = {key: value for key, value in plan.items() if key != jobs.STAGED_KEY}
            payload |= {"name": jobs.named(payload["name"], token), "executionRoleArn": facts.role, "clientToken": token}
            payload = placed(payload, jobs.folders(facts.folder, job))
            try:
                with translated():
                    answer = self.emr.start_job_run(applicationId=cluster, **payload)
            except (SpecError, NotFound) as error:
                self._insist_on_life(cluster, error)
                raise
            return str(member(answer, "jobRunId"))

        return once(self.store, job, facts.folder / "ids", find=find, stage=stage, ask=ask, lasts=None)

    def poll(self, cluster: str, jobs: Collection[str]) -> dict[str, JobStatus]:
        facts = self._facts(cluster)
        found = self._found(cluster, set(jobs)) if facts and jobs else {}
        return {
            job: self._job_status(facts, found[job]) if facts and job in found else self._absent_job(cluster, job) for job in jobs
        }

    def cancel(self, cluster: str, job: str) -> None:
        if not job.isalnum() or not self._is_ours(cluster):
            return
        with suppress(NotFound, SpecError), translated():  # unknown, or it has ended
            self.emr.cancel_job_run(applicationId=cluster, jobRunId=job)
            return
        if self.poll(cluster, [job])[job].state is JobState.UNKNOWN:
            raise not_visible(job)

    def logs(self, cluster: str, job: str, *, after: str | None = None) -> LogPage:
        facts = self._facts(cluster)
        if facts is None or not job.isalnum():
            return LogPage(cursor=after)
        log = facts.log / f"applications/{cluster}/jobs/{job}/SPARK_DRIVER/stdout.gz"
        return self.log_files.page(log, after, lambda: self.poll(cluster, [job])[job].state.ended)

    def page(self, cluster: str, job: str) -> str:
        """The Spark UI while the job runs, its history server after."""
        if not cluster.isalnum() or not job.isalnum():
            raise NotFound(f"no job {job!r} on application {cluster!r}")
        with translated():
            return str(member(self.emr.get_dashboard_for_job_run(applicationId=cluster, jobRunId=job), "url"))

    def _end(self, cluster: str) -> None:
        """Stop an application, and delete it where it stands still already. A stopped one is deleted later: see :meth:`remains`."""
        for call in (self.emr.stop_application, self.emr.delete_application):
            with suppress(NotFound, SpecError), translated():  # it is not in a state for this call, or gone
                call(applicationId=cluster)
        status = self._describe(cluster)
        if not status.state.ended:
            raise Unavailable(
                f"application {cluster} is {status.state}: it cannot be stopped before it has started and its jobs have ended"
            )

    def _sessions(self, cluster: str) -> list[sessions.Session]:
        facts = self._own(cluster)
        if not has_sessions(facts.label, self.name):
            raise SpecError(f"warm: application {cluster} has the release {facts.label}: takes emr-7.13.0 or later, or no warm")
        return [_session(item) for item in self._listed_sessions(cluster) if item.get("name") == sessions.NAME]

    def _start_session(self, cluster: str, before: Sequence[sessions.Session]) -> None:
        facts = self._own(cluster)
        idle, made_of = sessions.made_of(self.store, facts.folder)
        plan = translate.plan_session(facts.role, idle, made_of, {OWNER: facts.token})
        token = sessions.token_of_next(facts.token, before)
        with translated():
            self.emr.start_session(applicationId=cluster, clientToken=token, **plan)

    def _endpoint(self, cluster: str, session: str) -> Endpoint:
        with translated():
            told = self.emr.get_session_endpoint(applicationId=cluster, sessionId=session)
        version = spark_of(self._own(cluster).label)
        headers = {sessions.AUTH_HEADER: member(told, "authToken")}
        return Endpoint(sessions.target(member(told, "endpoint")), headers, member(told, "authTokenExpiresAt"), version)

    def _end_sessions(self, cluster: str) -> None:
        for item in self._listed_sessions(cluster):
            if item.get("state") not in sessions.ENDED:
                with suppress(NotFound, SpecError), translated():  # it has ended meanwhile
                    self.emr.terminate_session(applicationId=cluster, sessionId=member(item, "sessionId"))

    def _listed_sessions(self, cluster: str) -> list[Mapping[str, Any]]:
        with translated():
            pages = self.emr.get_paginator("list_sessions").paginate(applicationId=cluster, maxResults=_PAGE)
            return list(listed(pages, "sessions"))

    def _own(self, cluster: str) -> _Facts:
        """What is known about a cluster of ours, for a call that needs one."""
        facts = self._facts(cluster)
        if facts is None:
            if self._token_of_new(cluster):
                raise not_visible(cluster)
            raise NotFound(f"application {cluster!r} is not known to EMR Serverless: create another cluster")
        return facts

    def _live(self) -> dict[str, Mapping[str, Any]]:
        return {item["id"]: item for item in self._applications(states=[*translate.LIVE, "STOPPING"])}

    def _describe(self, cluster: str) -> ClusterStatus:
        found = self._application(cluster)
        return self._status(cluster, found) if found else self._absent_cluster(cluster)

    def _status(self, cluster: str, found: Mapping[str, Any]) -> ClusterStatus:
        state, message = translate.cluster_state(member(found, "state")), found.get("stateDetails") or ""
        if state is ClusterState.TERMINATED and "idle" in message.lower():
            message = f"idle_timeout has passed: {message}"
        started = found.get("createdAt") if state is not ClusterState.PENDING else None
        return ClusterStatus(state, message, ui_url=self._console(cluster), started_at=started)

    def _console(self, cluster: str) -> str:
        region = self.emr.meta.region_name
        return f"https://{region}.console.aws.amazon.com/emr/home?region={region}#/serverless/applications/{cluster}"

    def _application(self, cluster: str) -> Mapping[str, Any] | None:
        if not cluster.isalnum():
            return None
        try:
            with translated():
                return dict(member(self.emr.get_application(applicationId=cluster), "application"))
        except (NotFound, SpecError):
            return None

    def _facts(self, cluster: str) -> _Facts | None:
        """What is known about an application of ours; None for any other."""
        if cluster not in self._known:
            found = self._application(cluster)
            tags = decoded(found.get("tags", {})) if found else {}
            if found is None or not is_token(token := tags.pop(OWNER, "")):
                return None
            role = tags.pop(_ROLE_TAG, "")
            logs = found.get("monitoringConfiguration", {}).get("s3MonitoringConfiguration", {}).get("logUri")
            name = found.get("name", "")
            named, label = (jobs.token_of(name) or (name, ""))[0], str(found.get("releaseLabel", ""))
            folder, log = self.staging.of_cluster(token), self._log_folder(logs)
            self._known[cluster] = _Facts(named, token, label, role, folder, log, tags)
        return self._known[cluster]

    def _by_token(self, token: str) -> str | None:
        ours = (str(item["id"]) for item in self._applications() if jobs.has_token(item.get("name", ""), token))
        return next(ours, None)

    def _applications(self, **wanted: Any) -> Iterator[Mapping[str, Any]]:
        with translated():
            pages = self.emr.get_paginator("list_applications").paginate(maxResults=_PAGE, **wanted)
            yield from (item for item in listed(pages, "applications") if "id" in item)

    def _job_runs(self, cluster: str, **wanted: Any) -> Iterator[Mapping[str, Any]]:
        with translated():
            pages = self.emr.get_paginator("list_job_runs").paginate(applicationId=cluster, maxResults=_PAGE, **wanted)
            yield from (item for item in listed(pages, "jobRuns") if "id" in item)

    def _found(self, cluster: str, ids: set[str]) -> dict[str, Mapping[str, Any]]:
        """Job runs by id, from as few calls as there may be: the list has the newest first."""
        found: dict[str, Mapping[str, Any]] = {}
        if len(ids) > _ONE_BY_ONE:
            for item in self._job_runs(cluster):
                if item["id"] in ids:
                    found[item["id"]] = item
                if len(found) == len(ids):
                    break
            return found
        for job in ids:
            if one := self._job_run(cluster, job):
                found[job] = one
        return found

    def _job_run(self, cluster: str, job: str) -> Mapping[str, Any] | None:
        if not job.isalnum():
            return None
        try:
            with translated():
                return dict(member(self.emr.get_job_run(applicationId=cluster, jobRunId=job), "jobRun"))
        except (NotFound, SpecError):
            return None

    def _job_status(self, facts: _Facts, run: Mapping[str, Any]) -> JobStatus:
        state = translate.job_state(member(run, "state"))
        _, token = jobs.token_of(run.get("name", "")) or ("", "none")
        ended_at = run.get("updatedAt") if state.ended else None
        when = {"started_at": run.get("startedAt") or run.get("createdAt"), "ended_at": ended_at}
        return jobs.finished(self.store, facts.folder.of_job(token), state, run.get("stateDetails", ""), **when)


def _session(item: Mapping[str, Any]) -> sessions.Session:
    why = item.get("stateDetails", "")
    return sessions.Session(member(item, "sessionId"), member(item, "state"), member(item, "createdAt"), why)
