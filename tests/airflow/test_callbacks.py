"""The route that asks for no login: it is off by default, checks before it reads, and counts one answer."""

from __future__ import annotations

import asyncio
import json
import resource
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk import DAG, task
from cryptography.fernet import Fernet

from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.hooks.callbacks import Ticket, opened
from airflow_ml_provider.plugins.callbacks import LARGEST, callbacks, keep, served
from tests.airflow.conftest import forget_key

SETTING = "AIRFLOW__AIRFLOW_ML_PROVIDER__CALLBACKS"


@pytest.fixture(autouse=True)
def fernet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An Airflow with a key, whose callbacks are on."""
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.example.com")
    monkeypatch.setenv(SETTING, "True")
    forget_key()
    yield
    forget_key()


@pytest.fixture
def ticket(run: Any, request: pytest.FixtureRequest) -> Ticket:
    """Of a task that runs."""
    from airflow.utils.session import create_session

    with DAG(f"waits_{abs(hash(request.node.name))}", schedule=None) as dag:

        @task
        def wait() -> None:
            return None

        wait()
    ti = run(dag).ti("wait")
    with create_session() as session:
        session.merge(ti).state = "running"
    return Ticket(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, "adf_callback_1")


class Call:
    """One POST, as a server hands it to the application.

    :param asked: how many chunks of the body the application has taken.
    """

    def __init__(self, path: str, chunks: list[bytes], **headers: str) -> None:
        self.path, self.chunks, self.headers = path, chunks, headers
        self.asked, self.status, self.body = 0, 0, b""
        asyncio.run(callbacks(self._scope(), self._receive, self._send))

    def _scope(self) -> dict[str, Any]:
        headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in self.headers.items()]
        shared = {"http_version": "1.1", "scheme": "http", "query_string": b"", "root_path": "", "headers": headers}
        return {"type": "http", "method": "POST", "path": self.path, "raw_path": self.path.encode(), **shared}

    async def _receive(self) -> dict[str, Any]:
        chunk = self.chunks[self.asked]
        self.asked += 1
        return {"type": "http.request", "body": chunk, "more_body": self.asked < len(self.chunks)}

    async def _send(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")


def path_of(ticket: Ticket) -> str:
    return "/" + ticket.address().rpartition("/")[2]


def answer_of(ticket: Ticket) -> Any:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        (row,) = session.scalars(select(XComModel).filter_by(dag_id=ticket.dag_id, key=ticket.key)).all()
        return opened(XComModel.deserialize_value(row))


def test_the_route_is_there_only_where_it_is_asked_for(ticket: Ticket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [app["url_prefix"] for app in served()] == ["/airflow-ml/callbacks"]
    monkeypatch.delenv(SETTING)
    assert served() == []
    with pytest.raises(ConfigurationError, match=rf"\[airflow_ml_provider\] callbacks: is off.*{SETTING}=True"):
        ticket.address()


def test_a_stranger_is_refused_before_the_body_is_read() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call = Call("/not-a-ticket", [b"[" + b"[]," * 350_000] * 60)
    assert (call.status, call.asked) == (404, 0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KiB


def test_a_body_is_read_up_to_its_limit(ticket: Ticket) -> None:
    """Chunked, without a length: what the header says does not matter."""
    call = Call(path_of(ticket), [b"x" * (1 << 18)] * 60)
    assert (call.status, call.asked) == (413, LARGEST // (1 << 18) + 1)
    assert json.loads(call.body)["detail"] == f"the body is too long: takes {LARGEST} bytes at most"
    assert Call(path_of(ticket), [b"x" * (1 << 18)] * 60, content_length="5").status == 413


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 100_000, b"{", b"\xff\xfe\x00", b"NaN ,"])
def test_what_is_not_json_is_refused(ticket: Ticket, body: bytes) -> None:
    call = Call(path_of(ticket), [body])
    assert call.status == 400
    assert json.loads(call.body) == {"detail": "the body is not valid JSON"}


def test_one_answer_counts(ticket: Ticket) -> None:
    assert Call(path_of(ticket), [b'{"rows":', b" 3}"]).status == 200
    assert answer_of(ticket) == {"rows": 3}
    assert Call(path_of(ticket), [b'{"rows": 4}']).status == 404
    assert answer_of(ticket) == {"rows": 3}


def test_an_empty_answer_counts(ticket: Ticket) -> None:
    assert Call(path_of(ticket), [b""]).status == 200
    assert answer_of(ticket) is None


def test_two_answers_at_once_count_once(ticket: Ticket) -> None:
    """Both are past every look before either writes."""
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    both, kept = threading.Barrier(2, timeout=60), []

    def wait_for_the_other(session: Session, *_: Any) -> None:
        if any(getattr(one, "key", None) == ticket.key for one in session.new):
            both.wait()

    threads = [threading.Thread(target=lambda text=text: kept.append((keep(ticket, text), text))) for text in ("1", "2")]
    event.listen(Session, "before_flush", wait_for_the_other)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        event.remove(Session, "before_flush", wait_for_the_other)
    assert sorted(done for done, _ in kept) == [False, True]
    assert [json.loads(text) for done, text in kept if done] == [answer_of(ticket)]


@pytest.mark.parametrize(
    ("state", "method", "status"),
    [("deferred", "resume", 200), ("queued", "resume", 200), ("queued", None, 404), ("failed", "resume", 404)],
)
def test_a_task_that_has_left_its_worker_is_told_too(ticket: Ticket, state: str, method: str | None, status: int) -> None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        ti = session.scalars(select(TaskInstance).filter_by(dag_id=ticket.dag_id)).one()
        ti.state, ti.next_method = state, method
    assert Call(path_of(ticket), [b"{}"]).status == status
