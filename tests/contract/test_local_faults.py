"""The local backend when its state folder fails it: damaged and unreadable files, and callers that are killed after the work.

A test holds the lock that a supervisor holds, so that a cluster lives without a Spark.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.backends.local.layout import appear, make_folder, write_json
from airflow_ml_provider.backends.local.supervisor import close
from airflow_ml_provider.core.errors import ProviderError, ServiceError
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode
from airflow_ml_provider.core.state import ClusterState, JobState
from tests.fakes.faults import NEW_STATE

CLUSTER, JOB = "c-1", "j-1"
DAMAGE = {
    "cut": b'{"state": "RUNN',
    "empty": b"",
    "no text": b"\xff\xfe\x00",
    "a list": b"[1]",
    "another time": b'{"state": "RUNNING", "message": "", "started_at": "soon", "created_at": 7}',
    "nothing in it": b"{}",
    "another version": json.dumps({"state": NEW_STATE, "message": ""}).encode(),
}
"""What may be found in a file of JSON."""


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[LocalBackend]:
    """With a cluster that is RUNNING, and a job that has handed back 7."""
    found = LocalBackend(tmp_path)
    folder = found.root.cluster(CLUSTER)
    make_folder(found.root.clusters)
    appear(folder.path, {"plan.json": found.plan_cluster(ClusterSpec(name="faults", tags={"dag_id": "d"}))})
    write_json(folder.status, {"state": ClusterState.RUNNING, "message": ""})
    lock = folder.hold()
    assert lock is not None
    assert found.submit(CLUSTER, _plan(found), token="1") == JOB
    job = folder.job(JOB)
    write_json(job.status, {"state": JobState.SUCCEEDED, "message": ""})
    job.result.write_text("7")
    job.log.write_text("one\ntwo\n")
    yield found
    os.close(lock)


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize(
    "name", ["status.json", "plan.json", "jobs/j-1/status.json", "jobs/j-1/plan.json", "jobs/j-1/result.json"]
)
def test_a_damaged_file_is_told_and_hides_no_other_cluster(backend: LocalBackend, name: str, content: bytes) -> None:
    folder = backend.root.cluster(CLUSTER).path
    appear(backend.root.cluster("c-2").path, {"plan.json": backend.plan_cluster(ClusterSpec(name="other"))})
    (folder / name).write_bytes(content)
    assert backend.describe([CLUSTER])[CLUSTER].state in (ClusterState.RUNNING, ClusterState.UNKNOWN, ClusterState.PENDING)
    assert {item.id for item in backend.owned()} == {CLUSTER, "c-2"}
    assert backend.logs(CLUSTER, JOB).lines == ("one", "two")
    seen = _seen(lambda: backend.poll(CLUSTER, [JOB])[JOB])
    if name.endswith("result.json"):
        assert seen is ServiceError or seen.result == json.loads(content)
    elif "/status" in name:
        assert not seen.state.ended
    else:
        assert seen.result == 7


def test_the_end_of_a_cluster_with_damaged_files_is_written(backend: LocalBackend) -> None:
    folder = backend.root.cluster(CLUSTER)
    for path in (folder.status, folder.job(JOB).status):
        path.write_bytes(DAMAGE["cut"])
    close(folder, ClusterState.TERMINATED, "terminated on request")
    assert backend.describe([CLUSTER])[CLUSTER].state is ClusterState.TERMINATED
    assert backend.poll(CLUSTER, [JOB])[JOB].state is JobState.CANCELLED
    assert list(backend.owned()) == []


def test_a_log_that_cannot_be_read_is_an_error_of_ours_and_the_result_stays(backend: LocalBackend) -> None:
    log = backend.root.cluster(CLUSTER).job(JOB).log
    log.unlink()
    log.mkdir()  # whoever runs the tests may be allowed to read everything
    with pytest.raises(ServiceError, match=r"driver\.log: Is a directory"):
        backend.logs(CLUSTER, JOB)
    assert backend.poll(CLUSTER, [JOB])[JOB].result == 7


def test_a_log_that_is_cut_and_grows_again_is_read_on(backend: LocalBackend) -> None:
    log = backend.root.cluster(CLUSTER).job(JOB).log
    first = backend.logs(CLUSTER, JOB)
    log.write_text("one\n")
    assert backend.logs(CLUSTER, JOB, after=first.cursor).lines == ()
    log.write_text("one\ntwo\nthree\n")
    assert backend.logs(CLUSTER, JOB, after=first.cursor).lines == ("three",)


@pytest.mark.parametrize("method", ["describe", "owned", "poll", "logs", "terminate", "cancel", "submit", "create"])
def test_a_state_folder_that_is_no_folder_is_an_error_of_ours(backend: LocalBackend, tmp_path: Path, method: str) -> None:
    (tmp_path / "file").touch()
    broken = LocalBackend(tmp_path / "file")
    calls: dict[str, Callable[[], Any]] = {
        "describe": lambda: broken.describe([CLUSTER]),
        "owned": lambda: list(broken.owned()),
        "poll": lambda: broken.poll(CLUSTER, [JOB]),
        "logs": lambda: broken.logs(CLUSTER, JOB),
        "terminate": lambda: broken.terminate(CLUSTER),
        "cancel": lambda: broken.cancel(CLUSTER, JOB),
        "submit": lambda: broken.submit(CLUSTER, _plan(broken), token="2"),
        "create": lambda: broken.create(broken.plan_cluster(ClusterSpec()), token="2"),
    }
    seen = _seen(calls[method])
    assert not isinstance(seen, type) or issubclass(seen, ProviderError)


def test_a_caller_that_is_killed_after_the_work_finds_its_job_again(backend: LocalBackend) -> None:
    def submit() -> None:
        backend.submit(CLUSTER, _plan(backend), token="2")

    _killed_after(submit)
    assert backend.submit(CLUSTER, _plan(backend), token="2") == "j-2"
    assert [name for name, _ in backend.root.cluster(CLUSTER).job_folders()] == [JOB, "j-2"]


def test_a_caller_that_is_killed_before_the_supervisor_starts_leaves_a_cluster_that_the_next_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, started = LocalBackend(tmp_path), []
    plan = backend.plan_cluster(ClusterSpec())
    with monkeypatch.context() as changed:
        changed.setattr(LocalBackend, "_launch", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        _killed_after(lambda: backend.create(plan, token="3"))
    assert backend.describe(["c-3"])["c-3"].state is ClusterState.PENDING
    monkeypatch.setattr(LocalBackend, "_launch", lambda _, folder: started.append(folder.path.name))
    assert backend.create(plan, token="3") == "c-3"
    assert started == ["c-3"]


def _plan(backend: LocalBackend) -> Any:
    return backend.plan_job(JobSpec(name="job", program=PythonCode(source="pass")))


def _seen(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except ProviderError as error:
        return type(error)


def _killed_after(work: Callable[[], Any]) -> None:
    """Do the work in a process that is killed before it can tell anybody."""
    if not (pid := os.fork()):
        work()
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
