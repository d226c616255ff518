"""A page of Airflow's web server that leads to a job's Spark UI: its address, which opens for minutes only, is made at the click."""

from __future__ import annotations

from functools import cache
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_ml_provider.links.spark import PAGES
from airflow_ml_provider.triggers.pace import JOB_KEY

_KEPT_NOWHERE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """The application, made when it is first asked: every part of Airflow loads plugins, and only the web server has pages."""
    await _application()(scope, receive, send)


class SparkUiPlugin(AirflowPlugin):
    """Serves :data:`~airflow_ml_provider.links.spark.PAGES`."""

    name = "airflow_ml_provider"
    fastapi_apps: list[Any] = [{"app": pages, "url_prefix": PAGES, "name": "Spark UI"}]


def address(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """Where the Spark UI of a task's job opens now.

    :raises LookupError: the task has no job.
    :raises ProviderError: the service does not say.
    """
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_ml_provider.core.backend import MakesPages
    from airflow_ml_provider.core.handle import Handle
    from airflow_ml_provider.hooks.spark_cluster import SparkClusterHook

    which = {"key": JOB_KEY, "dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    with create_session() as session:
        row = session.scalars(select(XComModel).filter_by(**which)).first()
        found = XComModel.deserialize_value(row) if row else None
    if not found:
        raise LookupError(f"the task {task_id!r} of this run has no job")
    handle = Handle.parse(found)
    backend = SparkClusterHook.for_handle(handle).backend
    if not isinstance(backend, MakesPages):
        raise LookupError(f"the {handle.backend} backend has no such pages")
    return backend.page(handle.cluster, handle.job or "")


@cache
def _application() -> Any:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import Depends, FastAPI, HTTPException
    from fastapi.responses import RedirectResponse

    from airflow_ml_provider.core.errors import ProviderError

    may_see: Any = Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))
    application = FastAPI(title="Spark UI", docs_url=None, redoc_url=None, openapi_url=None)

    @application.get("/{dag_id}/{run_id}/{task_id}/{map_index}", dependencies=[may_see])
    def open_ui(dag_id: str, run_id: str, task_id: str, map_index: int) -> RedirectResponse:
        try:
            return RedirectResponse(address(dag_id, run_id, task_id, map_index), headers=_KEPT_NOWHERE)
        except LookupError as error:
            raise HTTPException(404, str(error)) from None
        except ProviderError as error:
            raise HTTPException(502, str(error)) from None

    return application
