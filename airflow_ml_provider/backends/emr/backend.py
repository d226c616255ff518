"""The calls of EMR. A cluster is a job flow, a job a step on it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from airflow_ml_provider.backends.aws import jobs, sessions
from airflow_ml_provider.backends.aws.errors import listed, member, translated
from airflow_ml_provider.backends.aws.once import lifetime, once
from airflow_ml_provider.backends.aws.releases import has_sessions, spark_of
from airflow_ml_provider.backends.aws.service import NO_FOLDERS, AwsService, Clients, not_visible
from airflow_ml_provider.backends.aws.tags import OWNER, decoded
from airflow_ml_provider.backends.emr import translate
from airflow_ml_provider.core.backend import NO_SECRETS, Endpoint, Feature, Plan, refuse_unsupported
from airflow_ml_provider.core.errors import NotFound, SpecError, Unavailable
from airflow_ml_provider.core.lowering import lowered
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec
from airflow_ml_provider.core.staging import Place, is_token, placed
from airflow_ml_provider.core.state import ClusterState, ClusterStatus, JobState, JobStatus, LogPage, OwnedCluster
from airflow_ml_provider.runners import run_staged

_BOOTSTRAP = Path(run_staged.__file__).with_name("bootstrap_emr.sh")
_STEPS_AT_ONCE = 10
_FLOW, _STEP = re.compile(r"j-[A-Z0-9]+"), re.compile(r"s-[A-Z0-9]+")
"""The ids of clusters and of steps."""
_REMEMBERED = timedelta(days=3)
"""How far back a cluster is looked for by its token: longer than any that may still have to be found."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What never changes about a cluster."""

    name: str
    token: str
    label: str
    folder: Place
    log: Place
    tags: Mapping[str, str]


class EmrBackend(AwsService):
    """Spark on Amazon EMR."""

    name: ClassVar[str] = "emr"
    limits: ClassVar[Mapping[Feature, str]] = NO_FOLDERS

    def __init__(self, clients: Clients, staging_uri: str) -> None:
        super().__init__(clients, staging_uri)
        self._known: dict[str, _Facts] = {}

    def plan_cluster(self, spec: ClusterSpec) -> Plan:
        refuse_unsupported(self, spec)
        return {"LogUri": f"{self.staging}/logs/", **translate.plan_cluster(spec)}

    def plan_job(self, spec: JobSpec) -> Plan:
        spec = lowered(spec, self.programs)
        refuse_unsupported(self, spec)
        return translate.plan_job(spec)

    def create(self, plan: Plan, *, token: str, secrets: Mapping[str, str] = NO_SECRETS) -> str:
        folder = self.staging.of_cluster(token)

        def ask() -> str:
            ours = {"Key": OWNER, "Value": token}
            payload = {key: value for key, value in plan.items() if key != jobs.STAGED_KEY}
            payload |= {"Name": jobs.named(plan["Name"], token), "Tags": [*plan["Tags"], ours]}
            with translated():
                answer = self.emr_once.run_job_flow(**placed(payload, jobs.folders(folder, folder)))
            return str(member(answer, "JobFlowId"))

        def stage() -> None:
            jobs.stage_cluster(self.store, folder, plan[jobs.STAGED_KEY], secrets)
            self.store.write(folder / "bootstrap_emr.sh", _BOOTSTRAP.read_bytes())

        lasts = lifetime(self.emr_once)
        return once(self.store, folder, self.ids, find=lambda: self._by_token(token), stage=stage, ask=ask, lasts=lasts)

    def terminate(self, cluster: str) -> None:
        facts = self._facts(cluster)
        token = facts.token if facts else self._token_of_new(cluster)
        if token is None:
            return
        try:
            with translated():
                self.emr.terminate_job_flows(JobFlowIds=[cluster])
        except (SpecError, NotFound) as error:
            if facts:
                raise
            raise not_visible(cluster) from error
        self._forget(cluster, token)

    def owned(self) -> Iterator[OwnedCluster]:
        for item in self._clusters(ClusterStates=translate.LIVE):
            facts = self._facts(item["Id"]) if jobs.token_of(item.get("Name", "")) else None
            if facts:
                state = translate.cluster_state(member(item, "Status", "State"))
                created_at = member(item, "Status", "Timeline", "CreationDateTime")
                yield OwnedCluster(item["Id"], facts.name, state, created_at, facts.tags)

    def submit(self, cluster: str, plan: Plan, *, token: str, secrets: Mapping[str, str] = NO_SECRETS) -> str:
        facts = self._own(cluster)
        job = facts.folder.of_job(token)

        def stage() -> None:
            self._insist_on_life(cluster)
            jobs.stage_job(self.store, facts.folder, job, plan[jobs.STAGED_KEY], secrets)

        def ask() -> str:
            step = {key: value for key, value in plan.items() if key != jobs.STAGED_KEY}
            step["Name"] = jobs.named(step["Name"], token)
            steps = [placed(step, jobs.folders(facts.folder, job))]
            try:
                with translated():
                    answer = self.emr_once.add_job_flow_steps(JobFlowId=cluster, Steps=steps)
            except SpecError as error:
                self._insist_on_life(cluster, error)
                raise
            if not (made := member(answer, "StepIds")):
                raise Unavailable("AWS's answer is incomplete: it lacks a step's id")
            return str(made[0])

        lasts = lifetime(self.emr_once)
        find = partial(self._step_by_token, cluster, token)
        return once(self.store, job, facts.folder / "ids", find=find, stage=stage, ask=ask, lasts=lasts)

    def poll(self, cluster: str, jobs: Collection[str]) -> dict[str, JobStatus]:
        facts = self._facts(cluster)
        found = {step["Id"]: step for step in self._steps(cluster, list(jobs))} if facts and jobs else {}
        return {
            job: self._job_status(facts, found[job]) if facts and job in found else self._absent_job(cluster, job) for job in jobs
        }

    def cancel(self, cluster: str, job: str) -> None:
        if not _STEP.fullmatch(job) or not self._is_ours(cluster):
            return
        with suppress(SpecError, NotFound), translated():  # unknown, or it has ended
            self.emr.cancel_steps(ClusterId=cluster, StepIds=[job], StepCancellationOption="TERMINATE_PROCESS")
        if self.poll(cluster, [job])[job].state is JobState.UNKNOWN:
            raise not_visible(job)

    def logs(self, cluster: str, job: str, *, after: str | None = None) -> LogPage:
        facts = self._facts(cluster)
        if facts is None or not _STEP.fullmatch(job):
            return LogPage(cursor=after)
        log = facts.log / cluster / "steps" / job / "stdout.gz"
        return self.log_files.page(log, after, lambda: self.poll(cluster, [job])[job].state.ended)

    def page(self, cluster: str, job: str) -> str:
        """The history server outside the cluster, which knows it after its end too; the console until that is ready."""
        self._own(cluster)
        found = self._cluster(cluster) or {}
        with translated():
            made = self.emr_once.create_persistent_app_ui(TargetResourceArn=member(found, "ClusterArn"))
            asked = {"PersistentAppUIId": member(made, "PersistentAppUIId"), "PersistentAppUIType": "SHS"}
            told = self.emr.get_persistent_app_ui_presigned_url(**asked)
        return str(member(told, "PresignedURL")) if told.get("PresignedURLReady") else self._console(cluster)

    def _sessions(self, cluster: str) -> list[sessions.Session]:
        facts = self._own(cluster)
        if not has_sessions(facts.label, self.name):
            raise SpecError(f"warm: cluster {cluster} has the release {facts.label}: takes emr-spark-8.0.0 or later, or no warm")
        with translated():
            pages = self.emr.get_paginator("list_sessions").paginate(ClusterId=cluster)
            ours = [item for item in listed(pages, "Sessions") if item.get("Name") == sessions.NAME]
        return [_session(item) for item in ours]

    def _start_session(self, cluster: str, before: Sequence[sessions.Session]) -> None:
        facts = self._own(cluster)
        logs = f"{str(facts.log).rstrip('/')}/{cluster}/sessions/"
        idle, made_of = sessions.made_of(self.store, facts.folder)
        plan = translate.plan_session(logs, idle, made_of, {OWNER: facts.token})
        token = sessions.token_of_next(facts.token, before)
        with translated():
            self.emr.start_session(ClusterId=cluster, ClientRequestToken=token, **plan)

    def _endpoint(self, cluster: str, session: str) -> Endpoint:
        with translated():
            told = self.emr.get_session_endpoint(ClusterId=cluster, SessionId=session)
        login = told.get("Credentials", {}).get("UsernamePassword", {})
        headers = {
            sessions.AUTH_HEADER: told.get("AuthToken"),
            "authorization": session,
            "x-emr-username": login.get("Username"),
            "x-emr-password": login.get("Password"),
        }
        given = {key: value for key, value in headers.items() if value}
        label = self._own(cluster).label
        target = sessions.target(member(told, "Endpoint"))
        return Endpoint(target, given, member(told, "AuthTokenExpirationTime"), spark_of(label))

    def _own(self, cluster: str) -> _Facts:
        """What is known about a cluster of ours, for a call that needs one."""
        facts = self._facts(cluster)
        if facts is None:
            if self._token_of_new(cluster):
                raise not_visible(cluster)
            raise NotFound(f"cluster {cluster!r} is not known to EMR: create another one")
        return facts

    def _live(self) -> dict[str, Mapping[str, Any]]:
        return {item["Id"]: item for item in self._clusters(ClusterStates=[*translate.LIVE, "TERMINATING"])}

    def _describe(self, cluster: str) -> ClusterStatus:
        found = self._cluster(cluster)
        return self._status(cluster, found) if found else self._absent_cluster(cluster)

    def _status(self, cluster: str, found: Mapping[str, Any]) -> ClusterStatus:
        status = member(found, "Status")
        state, reason = translate.cluster_state(member(status, "State")), status.get("StateChangeReason", {})
        message = ": ".join(filter(None, (reason.get("Code", ""), reason.get("Message", ""))))
        if state in (ClusterState.FAILED, ClusterState.TERMINATED) and (limit := self._limit_passed(found)):
            state, message = ClusterState.TERMINATED, limit
        ready = status.get("Timeline", {}).get("ReadyDateTime")
        return ClusterStatus(state, message, ui_url=self._console(cluster), started_at=ready)

    def _limit_passed(self, found: Mapping[str, Any]) -> str:
        """Which of the spec's limits has ended the cluster, if one has."""
        reason, times = found["Status"].get("StateChangeReason", {}), found["Status"].get("Timeline", {})
        if "idle" in reason.get("Message", "").lower():
            return "idle_timeout has passed: no job ran for so long"
        facts = self._facts(member(found, "Id"))
        limit = facts.tags.get(translate.LIFETIME_TAG, "") if facts else ""
        seconds = int(limit) if limit.isdecimal() else 0
        if not seconds or reason.get("Code") == "USER_REQUEST" or not {"CreationDateTime", "EndDateTime"} <= {*times}:
            return ""
        old = times["EndDateTime"] - times["CreationDateTime"] >= timedelta(seconds=seconds)
        return f"max_lifetime of {seconds} s has passed" if old else ""

    def _console(self, cluster: str) -> str:
        region = self.emr.meta.region_name
        return f"https://{region}.console.aws.amazon.com/emr/home?region={region}#/clusterDetails/{cluster}"

    def _cluster(self, cluster: str) -> Mapping[str, Any] | None:
        if not _FLOW.fullmatch(cluster):
            return None
        try:
            with translated():
                return dict(member(self.emr.describe_cluster(ClusterId=cluster), "Cluster"))
        except (SpecError, NotFound):  # EMR calls an unknown cluster an invalid request
            return None

    def _facts(self, cluster: str) -> _Facts | None:
        """What is known about a cluster of ours; None for any other."""
        if cluster not in self._known:
            found = self._cluster(cluster)
            named = jobs.token_of(found.get("Name", "")) if found else None
            tags = decoded({tag.get("Key", ""): tag.get("Value", "") for tag in found.get("Tags", ())}) if found else {}
            if found is None or named is None or not is_token(token := tags.pop(OWNER, "")):
                return None
            log = self._log_folder(found.get("LogUri"))
            label = str(found.get("ReleaseLabel", ""))
            self._known[cluster] = _Facts(named[0], token, label, self.staging.of_cluster(token), log, tags)
        return self._known[cluster]

    def _by_token(self, token: str) -> str | None:
        since = datetime.now(tz=UTC) - _REMEMBERED
        ours = (str(item["Id"]) for item in self._clusters(CreatedAfter=since) if jobs.has_token(item.get("Name", ""), token))
        return next(ours, None)

    def _clusters(self, **wanted: Any) -> Iterator[Mapping[str, Any]]:
        with translated():
            pages = self.emr.get_paginator("list_clusters").paginate(**wanted)
            yield from (item for item in listed(pages, "Clusters") if "Id" in item)

    def _steps(self, cluster: str, ids: list[str]) -> Iterator[Mapping[str, Any]]:
        rest = iter(sorted(job for job in ids if _STEP.fullmatch(job)))
        try:
            while part := list(islice(rest, _STEPS_AT_ONCE)):
                with translated():
                    found = member(self.emr.list_steps(ClusterId=cluster, StepIds=part), "Steps")
                yield from found
        except SpecError:  # one of them is unknown, and EMR does not say which
            with suppress(SpecError):  # the cluster is not visible
                yield from self._all_steps(cluster)

    def _all_steps(self, cluster: str) -> Iterator[Mapping[str, Any]]:
        with translated():
            pages = self.emr.get_paginator("list_steps").paginate(ClusterId=cluster)
            yield from (item for item in listed(pages, "Steps") if "Id" in item)

    def _step_by_token(self, cluster: str, token: str) -> str | None:
        ours = (str(step["Id"]) for step in self._all_steps(cluster) if jobs.has_token(step.get("Name", ""), token))
        try:
            return next(ours, None)
        except SpecError as error:
            self._insist_on_life(cluster, error)
            raise

    def _job_status(self, facts: _Facts, step: Mapping[str, Any]) -> JobStatus:
        status = member(step, "Status")
        state, times, failure = (
            translate.job_state(member(status, "State")),
            status.get("Timeline", {}),
            status.get("FailureDetails", {}),
        )
        told = (failure.get("Reason"), failure.get("Message"), status.get("StateChangeReason", {}).get("Message"))
        message = ": ".join(filter(None, (*told, failure.get("LogFile"))))
        _, token = jobs.token_of(step.get("Name", "")) or ("", step["Id"])
        when = {"started_at": times.get("StartDateTime"), "ended_at": times.get("EndDateTime")}
        return jobs.finished(self.store, facts.folder.of_job(token), state, message, **when)


def _session(item: Mapping[str, Any]) -> sessions.Session:
    why = item.get("StateChangeReason", "")
    return sessions.Session(member(item, "Id"), member(item, "State"), member(item, "CreatedAt"), why)
