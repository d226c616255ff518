"""Clusters of Data Factory's activities: where they are made, what of the export a service takes, and clusters that are used again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.hook import BaseHook

from airflow_ml_provider._compat import AirflowNotFoundException, AirflowSkipException
from airflow_ml_provider.adf.airflow.run_state import error_of
from airflow_ml_provider.adf.support.connection_variants import conn_id_of
from airflow_ml_provider.core.backend import Feature
from airflow_ml_provider.core.errors import ClusterFailed, NotFound
from airflow_ml_provider.core.spec import ClusterSpec
from airflow_ml_provider.hooks.spark_cluster import SparkClusterHook
from airflow_ml_provider.operators.base import final_errors
from airflow_ml_provider.operators.context import origin
from airflow_ml_provider.operators.spark_cluster import (
    KEPT_TAG,
    SPEC_TAG,
    CreateSparkClusterOperator,
    TerminateSparkClusterOperator,
    owned,
    terminate_all,
)
from airflow_ml_provider.operators.spark_job import SparkJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ml_provider.core.backend import Backend, Plan
    from airflow_ml_provider.core.identity import Work

TOLD = "adf_error"
_SERVICE_TAG = "adf_service"
_OF_ALL = {"map_index": "-1"}
_AZURES_OWN = "Standard_"
_AZURE = frozenset({"databricks", "hdinsight", "memory", "synapse"})


class AdfClusterOperator(CreateSparkClusterOperator):
    """Ask for the cluster of an activity.

    The connection with the linked service's id says where it is made, and ``spark_conn_id`` when there is none of the type
    ``spark_cluster``. What a service cannot choose (machines on this one, Azure's machines on another cloud, a number of workers
    that changes) is left to the connection's defaults, and said in the log.

    :param service: the linked service or the pool.
    :param conn_id: of its connection, where arguments tell it from the one that has the service's name.
    :param shared: the first live cluster of this service with these fields serves every activity that asks for it, of any run; the
        last one's end leaves it to its ``idle_timeout``. Activities of one run never make two; of two runs that begin at once, each
        may make one.
    :param share: what tells a shared cluster from others, where that is not the service.
    :param of_run: a shared cluster serves the activities of one run, or of one item of a loop; its end is another task's.
    :param all_items: one of a run serves all items of the loop around this task.
    """

    def __init__(
        self,
        *,
        service: str = "",
        conn_id: str = "",
        shared: bool = False,
        share: str = "",
        of_run: bool = False,
        all_items: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.conn_id = conn_id or (conn_id_of(service) if service else "")
        self.shared = shared
        self.share = share or service
        self.of_run = of_run
        self.all_items = all_items

    def execute(self, context: Context) -> Any:
        with telling(context):
            return super().execute(context)

    def ask(self, context: Context) -> str:
        self.spark_conn_id = _connection_of(self.conn_id) or self.spark_conn_id
        return super().ask(context)

    def on_kill(self) -> None:
        if not self.shared:
            super().on_kill()

    def _spec(self, hook: SparkClusterHook, context: Context) -> ClusterSpec:
        self.spec, left_out = fitting(self.spec, hook.connection.backend, hook.backend.limits)
        if left_out:
            self.log.info("Left to the connection %s: %s", hook.spark_conn_id, ", ".join(left_out))
        if self.shared:
            kept = {} if self.of_run else {KEPT_TAG: "true"}
            self.spec = {**self.spec, "tags": {**self.spec.get("tags", {}), _SERVICE_TAG: self.share, **kept}}
        spec = super()._spec(hook, context)
        return spec.model_copy(update={"tags": {**spec.tags, **_OF_ALL}}) if self.all_items else spec

    def _left_by_clear(self, context: Context, backend: Backend, spec: ClusterSpec) -> str | None:
        if not self.shared:
            return super()._left_by_clear(context, backend, spec)
        tags = {_SERVICE_TAG: self.share, SPEC_TAG: spec.tags[SPEC_TAG], **self._origin(context)}
        live = [found for found in owned(backend, tags, log=self.log) if not self._describe(backend, found).state.ended]
        if live:
            self.log.info("Cluster %s of an earlier activity is used again", live[0])
        return live[0] if live else None

    def _origin(self, context: Context) -> dict[str, str]:
        return {**origin(context), **(_OF_ALL if self.all_items else {})} if self.of_run else {}

    def _ask(self, backend: Backend, plan: Plan, secrets: Mapping[str, str], work: Work) -> str:
        if not self.shared:
            return super()._ask(backend, plan, secrets, work)
        index = work.map_index if self.of_run and not self.all_items else -1
        return super()._ask(backend, plan, secrets, replace(work, task_id=f"service {self.share}", map_index=index))


class AdfEndOfJobOperator(TerminateSparkClusterOperator):
    """Ask for the end of a cluster that the tasks of a Databricks job have shared in this run. It needs no handle: any of the tasks may
    have made the cluster.
    """

    shallow_copy_attrs = ("maker",)

    def __init__(self, *, maker: AdfClusterOperator, **kwargs: Any) -> None:
        super().__init__(cluster=None, **kwargs)
        self.maker = maker

    def execute(self, context: Context) -> None:
        end_of_shared(self.maker, context)


def end_of_shared(maker: AdfClusterOperator, context: Context) -> None:
    """Ask for the end of every cluster that tasks of this run, or of this item of a loop, share under the maker's name."""
    with final_errors():
        backend = SparkClusterHook(_connection_of(maker.conn_id) or maker.spark_conn_id).backend
    terminate_all(backend, owned(backend, {_SERVICE_TAG: maker.share, **origin(context)}, log=maker.log), log=maker.log)


class AdfJobOperator(SparkJobOperator):
    """A job of an activity: what it fails with is an XCom, which ``activity('…').error`` is made of."""

    def execute(self, context: Context) -> Any:
        with telling(context):
            return super().execute(context)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> Any:
        with telling(context):
            return super().execute_complete(context, event)


@contextmanager
def telling(context: Context) -> Iterator[None]:
    """Leave what the block fails with in the XCom :data:`TOLD`."""
    try:
        yield
    except AirflowSkipException:
        raise
    except Exception as error:
        context["ti"].xcom_push(key=TOLD, value=error_of(error))
        raise


class AdfSharedJobOperator(AdfJobOperator):
    """A job on a cluster that is used again. When it has ended between the asking and the job, another one is asked for.

    :param maker: the task that asks for the cluster.
    :param cluster: its handle, where it is known.
    """

    shallow_copy_attrs = ("maker",)

    def __init__(self, *, maker: AdfClusterOperator, cluster: str | None = None, **kwargs: Any) -> None:
        super().__init__(cluster=cluster or maker.output, **kwargs)
        self.maker = maker

    def _run(self, context: Context, deadline: float | None) -> Any:
        try:
            return super()._run(context, deadline)
        except ClusterFailed as error:
            if not isinstance(error.__cause__, NotFound):
                raise
            self.log.info("%s: asking for another cluster", error)
            self.cluster = self.maker.ask(context)
        return super()._run(context, deadline)


def fitting(fields: Mapping[str, Any], backend: str, limits: Mapping[Feature, str]) -> tuple[dict[str, Any], list[str]]:
    """The fields of a cluster that a service can honour, and what is left out."""
    found, left_out = dict(fields), []
    if Feature.AUTOSCALING in limits and found.pop("max_workers", None) is not None:
        left_out.append("max_workers")
    for role in ("driver", "worker"):
        kind = found.get(role, {}).get("instance_type", "")
        foreign = kind.startswith(_AZURES_OWN) and backend not in _AZURE
        if role in found and (Feature.INSTANCE_TYPE in limits or foreign):
            left_out.append(f"{role} {kind}".strip())
            del found[role]
    return found, left_out


def _connection_of(conn_id: str) -> str | None:
    """The id of the linked service's connection, where there is one that makes clusters."""
    if not conn_id:
        return None
    try:
        found = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return None
    return conn_id if found.conn_type == SparkClusterHook.conn_type else None
