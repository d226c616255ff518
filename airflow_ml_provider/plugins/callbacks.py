"""Where a Data Factory WebHook is called back: who has the address may answer once, and nothing else.

The route asks for no login, so Airflow's web server has it only where ``[airflow_ml_provider] callbacks`` is on.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.hooks.callbacks import PAGES, Ticket, are_on, read_ticket, sealed

LONGEST = 7 * 24 * 3600
LARGEST = 1 << 20
"""The longest body that is read, in bytes."""


async def callbacks(scope: Any, receive: Any, send: Any) -> None:
    """The application, made when it is first asked: every part of Airflow loads plugins, and only the web server is called."""
    await _application()(scope, receive, send)


def served() -> list[Any]:
    """What the web server mounts: nothing unless the setting asks for it."""
    return [{"app": callbacks, "url_prefix": PAGES, "name": "Callbacks"}] if are_on() else []


class CallbacksPlugin(AirflowPlugin):
    """Serves :data:`~airflow_ml_provider.hooks.callbacks.PAGES`."""

    name = "airflow_ml_provider_callbacks"
    fastapi_apps: list[Any] = served()


def keep(ticket: Ticket, document: str) -> bool:
    """Put the answer where the task looks for it; False when its task neither runs nor waits, or was answered before.

    The primary key of the XCom decides between two answers that come at once.

    :param document: JSON.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from sqlalchemy.exc import IntegrityError

    task: dict[str, Any] = {
        "dag_id": ticket.dag_id,
        "run_id": ticket.run_id,
        "task_id": ticket.task_id,
        "map_index": ticket.map_index,
    }
    value = XComModel.serialize_value(value=sealed(document))
    try:
        with create_session() as session:
            ti = session.scalars(select(TaskInstance).filter_by(**task)).first()
            if ti is None or not (str(ti.state) == "running" or _is_away(ti)):
                return False
            session.add(XComModel(dag_run_id=ti.dag_run.id, key=ticket.key, value=value, **task))
            session.flush()
    except IntegrityError:
        return False
    return True


def _is_away(ti: Any) -> bool:
    """Whether a task has left its worker to wait, or is on its way back to one."""
    return ti.next_method is not None and str(ti.state) in ("deferred", "scheduled", "queued")


async def _read_body(request: Any) -> bytes | None:
    """The body; None once it is too long, whatever length its header tells."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            return None
    return bytes(body)


def _document(body: bytes) -> str | None:
    """The body as JSON text, ``null`` for an empty one; None when it is not JSON, or nested too deeply to be read."""
    try:
        return json.dumps(json.loads(body) if body.strip() else None)
    except (ValueError, RecursionError):
        return None


@cache
def _application() -> Any:
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    def refusal(status: int, detail: str) -> Response:
        return JSONResponse({"detail": detail}, status, headers={"Connection": "close"})

    async def answer(request: Any) -> Response:
        try:
            ticket = read_ticket(request.path_params["ticket"], seconds=LONGEST)
        except ConfigurationError as error:
            return refusal(503, str(error))
        if ticket is None:
            return refusal(404, "nobody waits for this call")
        body = await _read_body(request)
        if body is None:
            return refusal(413, f"the body is too long: takes {LARGEST} bytes at most")
        document = _document(body)
        if document is None:
            return refusal(400, "the body is not valid JSON")
        if not await run_in_threadpool(keep, ticket, document):
            return refusal(404, "nobody waits for this call")
        return JSONResponse({"status": "told"})

    return Starlette(routes=[Route("/{ticket}", answer, methods=["POST"])])
