"""Airflow's public REST API, as far as the scripts and the tests need it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx

ENDED = ("success", "failed")
PARSING = 15.0
"""Seconds until a DAG that is missing is taken for the one whose file does not import."""
_READS, _PAUSE = 10, 1.0
"""How often a read is repeated, and the seconds between."""


class ApiError(RuntimeError):
    """Airflow refused a request.

    :param status: of the HTTP answer.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Api:
    """A user of Airflow's REST API v2.

    :param url: where Airflow's web server is, such as ``http://127.0.0.1:8080``.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._who = {"username": user, "password": password}
        # An Airflow on a busy machine takes long, above all with many runs at once on SQLite.
        self._client = httpx.Client(base_url=url, timeout=240, trust_env=False)
        self._token: str | None = None

    def call(self, method: str, path: str, *, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """One request under ``/api/v2``; its JSON answer. :class:`ApiError` for any status of 400 and above."""
        if self._token is None:
            self._token = self._answer(self._client.post("/auth/token", json=self._who))["access_token"]
        headers = {"Authorization": f"Bearer {self._token}"}
        # Airflow on SQLite answers 500 while another process writes. To read again is safe.
        for _ in range(_READS if method == "GET" else 0):
            answer = self._client.request(method, f"/api/v2{path}", params=params, headers=headers)
            if not answer.is_server_error:
                return self._answer(answer)
            time.sleep(_PAUSE)
        return self._answer(self._client.request(method, f"/api/v2{path}", json=json, params=params, headers=headers))

    def close(self) -> None:
        """Close the sockets."""
        self._client.close()

    def health(self) -> dict[str, str | None]:
        """Each component's health: ``healthy``, ``unhealthy`` or None."""
        found = self._answer(self._client.get("/api/v2/monitor/health"))
        return {name: item["status"] for name, item in found.items() if item}

    def put_connection(self, conn_id: str, fields: Mapping[str, Any]) -> None:
        """Make a connection, or change it to these fields."""
        body = {"connection_id": conn_id, **fields}
        try:
            self.call("POST", "/connections", json=body)
        except ApiError as error:
            if error.status != httpx.codes.CONFLICT:
                raise
            self.call("PATCH", f"/connections/{quote(conn_id, safe='')}", json=body)

    def wait_for_dag(self, dag_id: str, timeout: float = 120) -> None:
        """Wait until the DAG is parsed; :class:`ApiError` with Airflow's import error, or :class:`TimeoutError`."""
        begun = time.monotonic()
        while True:
            try:
                self.call("GET", f"/dags/{dag_id}")
                return
            except ApiError as error:
                if error.status != httpx.codes.NOT_FOUND:
                    raise
            passed = time.monotonic() - begun
            broken = self.call("GET", "/importErrors")["import_errors"]
            if broken and passed > min(timeout, PARSING):
                raise ApiError(0, f"{broken[0]['filename']}: {broken[0]['stack_trace']}")
            if passed > timeout:
                raise TimeoutError(f"DAG {dag_id!r} was not there after {timeout:.0f} s")
            time.sleep(0.2)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, **fields: Any) -> str:
        """Start a run of the DAG, once it is parsed; its run id."""
        self.wait_for_dag(dag_id)
        body = {"logical_date": None, "conf": dict(conf or {}), **fields}
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """One look at a run."""
        return dict(self.call("GET", _run_path(dag_id, run_id)))

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """One look at every task of a run, mapped ones each."""
        found = self.call("GET", f"{_run_path(dag_id, run_id)}/taskInstances", params={"limit": 500})["task_instances"]
        return sorted(found, key=lambda item: (item["start_date"] or "9", item["task_id"], item["map_index"]))

    def states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Each task's state; a mapped one is ``task[index]``."""
        return {task_name(item): item["state"] for item in self.tasks(dag_id, run_id)}

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        timeout: float = 600,
        watch: Callable[[list[dict[str, Any]]], None] | None = None,
        interval: float = 0.5,
    ) -> str:
        """Wait until the run has ended; its state, ``success`` or ``failed``.

        :param watch: called with every look at the run's tasks.
        """
        end = time.monotonic() + timeout
        while True:
            state = str(self.run(dag_id, run_id)["state"])
            if watch:
                watch(self.tasks(dag_id, run_id))
            if state in ENDED:
                return state
            if time.monotonic() > end:
                raise TimeoutError(f"run {run_id} of {dag_id} is {state} after {timeout:.0f} s: {self.states(dag_id, run_id)}")
            time.sleep(interval)

    def wait_for_task(self, dag_id: str, run_id: str, task: str, states: tuple[str, ...], timeout: float = 120) -> str:
        """Wait until the task (``task[index]`` for a mapped one) is in one of the states; that state."""
        end = time.monotonic() + timeout
        while (state := self.states(dag_id, run_id).get(task)) not in states:
            if time.monotonic() > end:
                raise TimeoutError(f"{task} is {state} after {timeout:.0f} s, not {' or '.join(states)}")
            time.sleep(0.2)
        return str(state)

    def xcoms(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Every XCom of a task by its key."""
        path, query = f"{_run_path(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries", {"map_index": map_index}
        keys = [item["key"] for item in self.call("GET", path, params=query)["xcom_entries"]]
        return {key: self.call("GET", f"{path}/{quote(key, safe='')}", params=query)["value"] for key in keys}

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """A task's log as text, a line an event."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{task_id}/logs/{try_number}"
        found = self.call("GET", path, params={"map_index": map_index, "full_content": True})["content"]
        return "\n".join(item if isinstance(item, str) else str(item["event"]) for item in found)

    def clear(self, dag_id: str, run_id: str, *tasks: str, **fields: Any) -> None:
        """Clear tasks of a run, as a user does in the browser."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": list(tasks), "only_failed": False, **fields}
        self.call("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)

    def mark_task(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int | None = None) -> None:
        """Mark a task ``success`` or ``failed``, as a user does in the browser."""
        where = "" if map_index is None else f"/{map_index}"
        self.call("PATCH", f"{_run_path(dag_id, run_id)}/taskInstances/{task_id}{where}", json={"new_state": state})

    def mark_run(self, dag_id: str, run_id: str, state: str) -> None:
        """Mark a run ``success`` or ``failed``, as a user does in the browser."""
        self.call("PATCH", _run_path(dag_id, run_id), json={"state": state})

    @staticmethod
    def _answer(response: httpx.Response) -> Any:
        if response.is_error:
            request = response.request
            text = f"{request.method} {request.url.path}: {response.status_code}: {response.text[:2000]}"
            raise ApiError(response.status_code, text)
        return response.json() if response.content else None


def task_name(item: Mapping[str, Any]) -> str:
    """The task's id; ``task[index]`` for a mapped one."""
    return str(item["task_id"]) if item["map_index"] < 0 else f"{item['task_id']}[{item['map_index']}]"


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"
