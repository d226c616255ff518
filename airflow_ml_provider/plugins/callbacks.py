"""Where a Data Factory WebHook is called back: who has the address may answer once, and nothing else."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_ml_provider.hooks.callbacks import PAGES, Ticket, read_ticket, sealed

LONGEST = 7 * 24 * 3600
_LARGEST = 1 << 20


async def callbacks(scope: Any, receive: Any, send: Any) -> None:
    """The application, made when it is first asked: every part of Airflow loads plugins, and only the web server is called."""
    await _application()(scope, receive, send)


class CallbacksPlugin(AirflowPlugin):
    """Serves :data:`~airflow_ml_provider.hooks.callbacks.PAGES`."""

    name = "airflow_ml_provider_callbacks"
    fastapi_apps: list[Any] = [{"app": callbacks, "url_prefix": PAGES, "name": "Callbacks"}]


def keep(ticket: Ticket, told: Any) -> bool:
    """Put what was told where the task looks for it; False when its task does not run, was told before, or is told too much."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    if len(json.dumps(told)) > _LARGEST:
        return False
    task: dict[str, Any] = {
        "dag_id": ticket.dag_id,
        "run_id": ticket.run_id,
        "task_id": ticket.task_id,
        "map_index": ticket.map_index,
    }
    with create_session() as session:
        ti = session.scalars(select(TaskInstance).filter_by(**task)).first()
        before = session.scalars(select(XComModel).filter_by(**task, key=ticket.key)).first()
        if ti is None or str(ti.state) != "running" or before:
            return False
        XComModel.set(key=ticket.key, value=sealed(told), **task, session=session)
    return True


@cache
def _application() -> Any:
    from fastapi import Body, FastAPI, HTTPException

    application = FastAPI(title="Callbacks", docs_url=None, redoc_url=None, openapi_url=None)

    @application.post("/{ticket}")
    def called(ticket: str, told: Any = Body(default=None)) -> dict[str, str]:
        found = read_ticket(ticket, seconds=LONGEST)
        if found is None or not keep(found, told):
            raise HTTPException(404, "nobody waits for this call")
        return {"status": "told"}

    return application
