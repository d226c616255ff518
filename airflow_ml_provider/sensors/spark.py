"""Sensors that wait for a cluster or a job that another task made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.bases.sensor import PokeReturnValue

from airflow_ml_provider.core.errors import SpecError, Unavailable
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.polling import decide_cluster, decide_job, status_of
from airflow_ml_provider.hooks.spark_cluster import SparkClusterHook
from airflow_ml_provider.operators.base import final_errors
from airflow_ml_provider.sensors.base import DeferrableSensor

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_ml_provider.core.backend import Backend


class _SparkSensor(DeferrableSensor):
    """What both sensors do with the handle in the field named ``handle_field``."""

    handle_field: ClassVar[str]

    def poke(self, context: Context) -> PokeReturnValue:
        try:
            with final_errors():
                handle = self._handle()
                backend = SparkClusterHook.for_handle(handle).backend
            return self._look(backend, handle)
        except Unavailable as error:
            self.log.warning("The service is unavailable: %s", error)
            return PokeReturnValue(is_done=False)

    def _trigger(self, deadline: float) -> BaseTrigger:
        from airflow_ml_provider.triggers.spark import SparkTrigger

        return SparkTrigger(str(self._handle()), self.poke_interval, deadline, stream_logs=False, cancels=False)

    def _handle(self) -> Handle:
        return Handle.parse(getattr(self, self.handle_field))

    def _look(self, backend: Backend, handle: Handle) -> PokeReturnValue:
        raise NotImplementedError


class SparkClusterSensor(_SparkSensor):
    """Wait until a cluster is ready.

    :param cluster: its handle, or a :class:`~airflow_ml_provider.cluster.SparkCluster`. Templated.
    :raises ClusterFailed: it failed or ended.
    """

    template_fields: Sequence[str] = ("cluster",)
    handle_field = "cluster"

    def __init__(self, *, cluster: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cluster = getattr(cluster, "handle", cluster)

    def _look(self, backend: Backend, handle: Handle) -> PokeReturnValue:
        status = status_of(backend.describe([handle.cluster]), handle.cluster)
        decision = decide_cluster(str(handle), status)
        if decision.error:
            raise decision.error
        self.log.info("Cluster %s is %s", handle, status.state)
        return PokeReturnValue(is_done=decision.done)


class SparkJobSensor(_SparkSensor):
    """Wait until a job has succeeded, and return what it handed back.

    :param job: its handle, which :class:`SparkJobOperator` pushes as the XCom ``job``. Templated.
    :raises JobFailed: it failed or was cancelled.
    """

    template_fields: Sequence[str] = ("job",)
    handle_field = "job"

    def __init__(self, *, job: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def _look(self, backend: Backend, handle: Handle) -> PokeReturnValue:
        if not handle.job:
            raise SpecError(f"job: got {str(handle)!r}, which is a cluster: takes the handle of a job")
        status = status_of(backend.poll(handle.cluster, [handle.job]), handle.job)
        decision = decide_job(str(handle), status)
        if decision.error:
            raise decision.error
        self.log.info("Job %s is %s", handle, status.state)
        return PokeReturnValue(is_done=decision.done, xcom_value=status.result)
