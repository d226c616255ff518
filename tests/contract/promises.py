"""What jobs find on a cluster, and what a backend can do beside running them. A part of the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.core.backend import Endpoint, MakesPages, ServesConnect
from airflow_ml_provider.core.errors import NotFound
from airflow_ml_provider.core.state import ClusterState, JobState
from tests.contract.rigs import CANARY, OF_CLUSTER, SECRET_PROPERTY, Rig, until_ended, until_state

TIME_ZONE = "spark.sql.session.timeZone"


class Promises:
    """Inherited by the contract, whose fixtures and helpers it uses."""

    # what a job finds

    def test_a_job_finds_its_clusters_environment_and_its_own_over_it(self: Any, rig: Rig, cluster: str) -> None:
        assert self.outcome(rig, cluster, rig.tells("OF_CLUSTER")).result == OF_CLUSTER["env"]["OF_CLUSTER"]
        assert self.outcome(rig, cluster, rig.tells("OF_BOTH")).result == "cluster"
        assert self.outcome(rig, cluster, rig.tells("OF_BOTH", env={"OF_BOTH": "job"})).result == "job"

    def test_a_job_finds_its_files_by_their_names(self: Any, rig: Rig, cluster: str, tmp_path: Path) -> None:
        (tmp_path / "day 1.csv").write_text("å;1\n", encoding="utf-8")
        (tmp_path / "other.csv").write_text("2\n")
        files = tuple(str(tmp_path / name) for name in ("day 1.csv", "other.csv"))
        assert self.outcome(rig, cluster, rig.reads("day 1.csv", files=files)).result == "å;1\n"

    def test_a_job_finds_its_clusters_properties_and_its_own_over_them(self: Any, rig: Rig, cluster: str) -> None:
        if not rig.has_spark:
            return
        of_cluster = self.outcome(rig, cluster, rig.tells_conf(TIME_ZONE))
        of_job = self.outcome(rig, cluster, rig.tells_conf(TIME_ZONE, spark_conf={TIME_ZONE: "Asia/Tokyo"}))
        assert (of_cluster.result, of_job.result) == (OF_CLUSTER["spark_conf"][TIME_ZONE], "Asia/Tokyo")

    def test_a_clusters_secret_reaches_its_jobs_and_no_other_place(self: Any, rig: Rig, with_secret: str) -> None:
        """Where the fake has no driver, its runner says that it was given a secret and cannot hand it to one."""
        job = self.run(rig, with_secret, rig.tells_secret(SECRET_PROPERTY))
        status = until_ended(rig.backend, with_secret, job, rig.patience)
        told = (status.state, status.result if rig.has_spark else status.message)
        assert told[0] is (JobState.SUCCEEDED if rig.has_spark else JobState.FAILED)
        assert CANARY in str(told[1]) if rig.has_spark else "Spark properties need a driver" in str(told[1])
        seen = [
            rig.backend.describe([with_secret]),
            list(rig.backend.owned()),
            rig.backend.logs(with_secret, job),
            rig.shown(with_secret),
        ]
        assert [item for item in map(repr, seen) if CANARY in item] == []

    # logs

    def test_a_log_can_be_read_on_from_any_of_its_cursors(self: Any, rig: Rig, cluster: str) -> None:
        job = self.run(rig, cluster, rig.prints(rig.lines_of_a_page * 5 // 2))
        assert until_ended(rig.backend, cluster, job, rig.patience).state is JobState.SUCCEEDED
        cursors: list[str | None] = [None]
        pages: list[tuple[str, ...]] = []
        while (page := rig.backend.logs(cluster, job, after=cursors[-1])).lines:
            pages.append(page.lines)
            cursors.append(page.cursor)
        lines = [line for page in pages for line in page]
        assert [line.partition(" ")[0] for line in lines] == [f"{number:06}" for number in range(rig.lines_of_a_page * 5 // 2)]
        assert len(pages) > 1
        for place, cursor in enumerate(cursors[:-1]):
            assert rig.backend.logs(cluster, job, after=cursor).lines == pages[place]

    # the end of what has not begun

    def test_a_cluster_that_is_still_pending_can_be_ended(self: Any, rig: Rig) -> None:
        made = self.make(rig)
        self.end(rig, made)
        assert made not in {item.id for item in rig.backend.owned()}
        with pytest.raises(NotFound):
            self.run(rig, made, rig.succeeds())
        rig.backend.terminate(made)
        assert rig.backend.describe([made])[made].state is ClusterState.TERMINATED

    # what a backend can do beside

    def test_the_check_of_a_connection_says_what_it_found(self, rig: Rig) -> None:
        check = getattr(rig.backend, "check", None)
        assert check is None or check()

    def test_the_page_of_a_job_has_an_address_and_that_of_no_job_is_not_found(self: Any, rig: Rig, cluster: str) -> None:
        if not isinstance(rig.backend, MakesPages):
            return
        job = self.run(rig, cluster, rig.succeeds(7))
        until_ended(rig.backend, cluster, job, rig.patience)
        assert rig.backend.page(cluster, job).startswith("https://")
        for unknown in ("c-nobody", ""):
            with pytest.raises(NotFound):
                rig.backend.page(unknown, job)

    def test_a_cluster_that_serves_spark_connect_says_where(self: Any, rig: Rig) -> None:
        if not isinstance(rig.backend, ServesConnect):
            return
        backend: ServesConnect = rig.backend
        made = self.make(rig, **rig.serving)
        assert until_state(rig.backend, made, ["RUNNING", "FAILED"], rig.patience).state is ClusterState.RUNNING
        endpoint = self.until(lambda: backend.connect(made), rig.patience)
        assert isinstance(endpoint, Endpoint)
        assert endpoint.target.rpartition(":")[2].isdigit()
        assert endpoint.expires_at.tzinfo is not None
        assert endpoint.headers
        assert [value for value in endpoint.headers.values() if value in repr(endpoint)] == []
        with pytest.raises(NotFound):
            backend.connect("c-nobody")
        self.end(rig, made)
        with pytest.raises(NotFound):
            backend.connect(made)
