"""What every backend promises. Inherit :class:`BackendContract` and name the backend."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from airflow_ml_provider.core.backend import NO_SECRETS, Feature
from airflow_ml_provider.core.errors import NotFound, SpecError, Unavailable
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, merge
from airflow_ml_provider.core.state import ClusterState, JobState
from tests.contract.fields import FEATURES, cases, check_field
from tests.contract.promises import Promises
from tests.contract.rigs import CANARY, OF_CLUSTER, RIGS, SECRET_PROPERTY, Rig, until, until_ended, until_state

LASTING: dict[str, Any] = {"idle_timeout": None, "max_lifetime": None}
"""A cluster that does not end by itself: the seconds of some fakes are short."""


def token() -> str:
    """A piece of work that nobody asked for before."""
    return uuid.uuid4().hex[:24]


class BackendContract(Promises):
    """One cluster serves most tests of a class; those that end one make their own."""

    name: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def rig(cls, spark_root: Path) -> Rig:
        return RIGS[cls.name](spark_root)

    @pytest.fixture(scope="class")
    @classmethod
    def cluster(cls, rig: Rig) -> Any:
        secrets = {SECRET_PROPERTY: CANARY} if rig.has_spark else NO_SECRETS
        made = cls.make(rig, name="contract", tags={"dag_id": "contract"}, secrets=secrets, **OF_CLUSTER, **LASTING)
        assert until_state(rig.backend, made, ["RUNNING", "FAILED"], rig.patience).state is ClusterState.RUNNING
        yield made
        cls.end(rig, made)

    @pytest.fixture
    def own_cluster(self, rig: Rig) -> Any:
        made = self.make(rig, **LASTING)
        assert until_state(rig.backend, made, ["RUNNING", "FAILED"], rig.patience).state is ClusterState.RUNNING
        yield made
        self.end(rig, made)

    @pytest.fixture
    def with_secret(self, rig: Rig, cluster: str) -> Any:
        """A cluster that was made with a secret: the shared one, unless this ends its jobs."""
        if rig.has_spark:
            yield cluster
            return
        made = self.make(rig, secrets={SECRET_PROPERTY: CANARY})
        assert until_state(rig.backend, made, ["RUNNING", "FAILED"], rig.patience).state is ClusterState.RUNNING
        yield made
        self.end(rig, made)

    @staticmethod
    def make(rig: Rig, *, secrets: Mapping[str, str] = NO_SECRETS, **fields: Any) -> str:
        plan = rig.backend.plan_cluster(ClusterSpec(**{**rig.smallest, **fields}))
        return rig.backend.create(plan, token=token(), secrets=secrets)

    @staticmethod
    def end(rig: Rig, cluster: str) -> None:
        """End a cluster, as a teardown does: asked again while the service cannot do it yet."""

        def asked() -> bool:
            try:
                rig.backend.terminate(cluster)
            except Unavailable:
                return False
            return True

        until(asked, bool, rig.patience)
        until_state(rig.backend, cluster, ["TERMINATED"], rig.patience)

    @staticmethod
    def until(look: Callable[[], Any], patience: float) -> Any:
        return until(look, bool, patience)

    @staticmethod
    def run(rig: Rig, cluster: str, spec: JobSpec, **more: Any) -> str:
        return rig.backend.submit(cluster, rig.backend.plan_job(spec), token=token(), **more)

    def outcome(self, rig: Rig, cluster: str, spec: JobSpec, **more: Any) -> Any:
        return until_ended(rig.backend, cluster, self.run(rig, cluster, spec, **more), rig.patience)

    # plans

    def test_a_plan_is_json_and_the_same_every_time(self, rig: Rig) -> None:
        spec = ClusterSpec(**{**rig.smallest, "tags": {"team": "ml"}, "spark_conf": {"spark.sql.ansi.enabled": "true"}})
        assert rig.backend.plan_cluster(spec) == json.loads(json.dumps(rig.backend.plan_cluster(spec)))
        assert rig.backend.plan_job(rig.succeeds(1)) == json.loads(json.dumps(rig.backend.plan_job(rig.succeeds(1))))

    def test_every_field_is_honoured_or_refused(self, rig: Rig) -> None:
        failed = []
        for case in cases():
            try:
                check_field(rig.backend, case, rig.smallest)
            except AssertionError as error:
                failed.append(str(error))
        assert not failed, "\n".join(failed)

    @pytest.mark.parametrize("feature", Feature)
    def test_what_it_cannot_honour_is_refused_with_the_reason(self, rig: Rig, feature: Feature) -> None:
        for case in cases():
            if case.key == FEATURES[feature] and not case.beside.get("max_workers"):
                refusals = check_field(rig.backend, case, rig.smallest)
                if reason := rig.backend.limits.get(feature):
                    assert refusals, f"{case}: the backend lists {feature} among its limits, and plans it"
                assert all(not reason or reason in refusal for refusal in refusals)

    def test_two_files_of_one_name_are_refused(self, rig: Rig) -> None:
        spec = rig.succeeds().model_copy(update={"files": ("/a/day.csv", "/b/day.csv")})
        with pytest.raises(SpecError, match=r"JobSpec\.files: got '/b/day\.csv' beside '/a/day\.csv'"):
            rig.backend.plan_job(spec)

    def test_native_is_merged_last(self, rig: Rig) -> None:
        job = rig.backend.plan_job(rig.succeeds().model_copy(update={"native": rig.native_of_job}))
        assert job != rig.backend.plan_job(rig.succeeds())
        assert merge(job, rig.native_of_job) == job
        plain = rig.backend.plan_cluster(ClusterSpec(**rig.smallest))
        plan = rig.backend.plan_cluster(ClusterSpec(**merge(rig.smallest, {"native": rig.native})))
        assert plan != plain
        assert merge(plan, rig.native) == plan

    # clusters

    def test_a_running_cluster_tells_when_it_started(self, rig: Rig, cluster: str) -> None:
        status = rig.backend.describe([cluster])[cluster]
        assert status.state is ClusterState.RUNNING
        assert status.started_at is not None
        assert status.started_at.tzinfo is not None
        assert "token" not in (status.connect_url or "")

    def test_every_id_asked_for_is_answered(self, rig: Rig, cluster: str) -> None:
        found = rig.backend.describe([cluster, "c-nobody"])
        assert {key: status.state for key, status in found.items()} == {
            cluster: ClusterState.RUNNING,
            "c-nobody": ClusterState.TERMINATED,
        }
        assert rig.backend.describe([]) == {}

    @pytest.mark.parametrize("unknown", ["c-nobody", "", "../..", "c-nobody/../x"])
    def test_an_unknown_cluster_is_no_error_but_for_submit(self, rig: Rig, unknown: str) -> None:
        rig.backend.terminate(unknown)
        rig.backend.cancel(unknown, "j-1")
        assert rig.backend.describe([unknown])[unknown].state is ClusterState.TERMINATED
        assert rig.backend.poll(unknown, ["j-1"])["j-1"].state is JobState.CANCELLED
        assert rig.backend.logs(unknown, "j-1").lines == ()
        with pytest.raises(NotFound):
            self.run(rig, unknown, rig.succeeds())

    def test_a_live_cluster_is_listed_with_its_tags(self, rig: Rig, cluster: str) -> None:
        found = {item.id: item for item in rig.backend.owned()}[cluster]
        assert (found.name, found.state, found.tags["dag_id"]) == ("contract", ClusterState.RUNNING, "contract")
        assert found.created_at.tzinfo is not None

    def test_the_same_token_is_the_same_cluster(self, rig: Rig) -> None:
        plan, mine = rig.backend.plan_cluster(ClusterSpec(**rig.smallest)), token()
        before = {item.id for item in rig.backend.owned()}
        with ThreadPoolExecutor(8) as pool:
            made = set(pool.map(lambda _: rig.backend.create(plan, token=mine), range(8)))
        assert len(made) == 1
        assert {item.id for item in rig.backend.owned()} - before == made
        cluster = made.pop()
        rig.backend.terminate(cluster)
        until_state(rig.backend, cluster, ["TERMINATED"], rig.patience)
        assert rig.backend.create(plan, token=mine) == cluster
        assert rig.backend.describe([cluster])[cluster].state is ClusterState.TERMINATED

    def test_the_end_of_a_cluster(self, rig: Rig, own_cluster: str) -> None:
        plan, mine = rig.backend.plan_job(rig.hangs()), token()
        job = rig.backend.submit(own_cluster, plan, token=mine)
        rig.backend.terminate(own_cluster)
        rig.backend.terminate(own_cluster)
        until_state(rig.backend, own_cluster, ["TERMINATED"], rig.patience)
        rig.backend.terminate(own_cluster)
        assert rig.backend.poll(own_cluster, [job])[job].state is JobState.CANCELLED
        assert rig.backend.submit(own_cluster, plan, token=mine) == job
        with pytest.raises(NotFound):
            self.run(rig, own_cluster, rig.succeeds())
        assert own_cluster not in {item.id for item in rig.backend.owned()}

    def test_an_idle_cluster_ends_by_itself(self, rig: Rig) -> None:
        made = self.make(rig, idle_timeout=0.2)
        assert "idle_timeout" in until_state(rig.backend, made, ["TERMINATED"], rig.patience).message

    def test_an_old_cluster_ends_by_itself(self, rig: Rig) -> None:
        if Feature.MAX_LIFETIME in rig.backend.limits:
            return
        made = self.make(rig, max_lifetime=0.1)
        assert "max_lifetime" in until_state(rig.backend, made, ["TERMINATED"], rig.patience).message

    # jobs

    @pytest.mark.parametrize("result", [None, 0, "", [], False, 1.5, {"a": [1, {"b": None}]}, "é\u2028☃"], ids=repr)
    def test_a_job_hands_back_a_value(self, rig: Rig, cluster: str, result: Any) -> None:
        status = self.outcome(rig, cluster, rig.succeeds(result))
        assert (status.state, status.result) == (JobState.SUCCEEDED, result)

    def test_a_failed_job_says_why(self, rig: Rig, cluster: str) -> None:
        status = self.outcome(rig, cluster, rig.fails("no such column: dep_time"))
        assert status.state is JobState.FAILED
        assert "no such column: dep_time" in status.message
        assert status.result is None

    def test_the_same_token_is_the_same_job_and_runs_once(self, rig: Rig, cluster: str) -> None:
        plan, mine = rig.backend.plan_job(rig.succeeds(7, lines=["once"])), token()
        with ThreadPoolExecutor(8) as pool:
            jobs = set(pool.map(lambda _: rig.backend.submit(cluster, plan, token=mine), range(8)))
        assert len(jobs) == 1
        job = jobs.pop()
        until_ended(rig.backend, cluster, job, rig.patience)
        assert rig.backend.submit(cluster, plan, token=mine) == job
        assert until_ended(rig.backend, cluster, job, rig.patience).result == 7
        assert rig.backend.logs(cluster, job).lines == ("once",)

    def test_many_jobs_at_once(self, rig: Rig, cluster: str) -> None:
        jobs = [self.run(rig, cluster, rig.succeeds(number)) for number in range(6)]
        for job in jobs:
            until_ended(rig.backend, cluster, job, rig.patience)
        found = rig.backend.poll(cluster, [*jobs, "j-nobody"])
        assert [found[job].result for job in jobs] == [*range(6)]
        assert found["j-nobody"].state is JobState.CANCELLED

    def test_a_job_finds_its_environment(self, rig: Rig, cluster: str) -> None:
        assert self.outcome(rig, cluster, rig.tells("WHO", env={"WHO": "me, å=1"})).result == "me, å=1"

    def test_a_secret_reaches_the_job_and_no_other_place(self, rig: Rig, cluster: str) -> None:
        spec = rig.tells("KEY")
        assert self.outcome(rig, cluster, spec, secrets={"KEY": CANARY}).result == CANARY
        assert CANARY not in json.dumps(rig.backend.plan_job(spec))
        assert self.outcome(rig, cluster, spec).result is None

    def test_cancel(self, rig: Rig, cluster: str) -> None:
        job = self.run(rig, cluster, rig.hangs())
        rig.backend.cancel(cluster, job)
        assert until_ended(rig.backend, cluster, job, rig.patience).state is JobState.CANCELLED
        rig.backend.cancel(cluster, job)
        rig.backend.cancel(cluster, "j-nobody")
        assert rig.backend.poll(cluster, [job])[job].state is JobState.CANCELLED

    def test_a_job_that_has_ended_cannot_be_cancelled(self, rig: Rig, cluster: str) -> None:
        job = self.run(rig, cluster, rig.succeeds(1))
        until_ended(rig.backend, cluster, job, rig.patience)
        rig.backend.cancel(cluster, job)
        assert rig.backend.poll(cluster, [job])[job].result == 1

    def test_a_timeout_ends_the_job(self, rig: Rig, cluster: str) -> None:
        status = self.outcome(rig, cluster, rig.hangs(timeout=0.1))
        assert status.state is JobState.FAILED
        assert "timeout" in status.message

    def test_the_log_comes_in_whole_lines_and_from_where_one_left_off(self, rig: Rig, cluster: str) -> None:
        job = self.run(rig, cluster, rig.succeeds(lines=["one", "zwölf ☃", "three"]))
        until_ended(rig.backend, cluster, job, rig.patience)
        page = rig.backend.logs(cluster, job)
        assert page.lines == ("one", "zwölf ☃", "three")
        again = rig.backend.logs(cluster, job, after=page.cursor)
        assert (again.lines, again.cursor) == ((), page.cursor)
        assert rig.backend.logs(cluster, "j-nobody").lines == ()
