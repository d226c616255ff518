"""The operator that ends what no teardown reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.operator import BaseOperator

from airflow_ml_provider.core.backend import LeavesRemains
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.hooks.spark_cluster import DEFAULT_CONN_ID, SparkClusterHook
from airflow_ml_provider.operators.base import final_errors, insist
from airflow_ml_provider.operators.spark_cluster import KEPT_TAG, terminate_all

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ml_provider.core.backend import Backend
    from airflow_ml_provider.core.state import OwnedCluster

_ENDED = ["success", "failed"]


class EndOrphanedClustersOperator(BaseOperator):
    """End every live cluster whose DAG run has ended, and return the handles.

    A cluster of a run that this Airflow does not know is left alone, as is one that no DAG made: another Airflow may share the
    service. So is one that serves later runs on purpose, until it is idle for too long. Where two of them have runs of the same names, give each a service account of its own.

    A cluster that will not end does not keep the others alive. Where a service keeps ended clusters until they are deleted (EMR
    Serverless), those that nobody needs any more are deleted too.

    :param spark_conn_id: the connection whose service is looked at. Templated.
    :param report_only: only say which. Templated.
    :raises ServiceError: clusters could not be asked to end; the message names each of them. The others were.
    """

    template_fields: Sequence[str] = ("spark_conn_id", "report_only")
    ui_color = "#f4e3c1"

    def __init__(self, *, spark_conn_id: str = DEFAULT_CONN_ID, report_only: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spark_conn_id = spark_conn_id
        self.report_only = report_only

    def execute(self, context: Context) -> list[str]:
        with final_errors():
            hook = SparkClusterHook(self.spark_conn_id)
            backend = insist(lambda: hook.backend, log=self.log)
        only_say = str(self.report_only).lower() == "true"
        orphans = {
            cluster.id: str(Handle(backend.name, self.spark_conn_id, cluster.id)) for cluster in self._orphans(context, backend)
        }
        if not only_say:
            try:
                terminate_all(backend, orphans, log=self.log)
            finally:
                terminate_all(backend, self._remains(backend), log=self.log)
        self.log.info("%d clusters %s", len(orphans), "would be asked to end" if only_say else "were asked to end")
        return list(orphans.values())

    def _orphans(self, context: Context, backend: Backend) -> Iterator[OwnedCluster]:
        ti: Any = context["ti"]
        for cluster in insist(lambda: list(backend.owned()), log=self.log):
            dag_id, run_id = cluster.tags.get("dag_id"), cluster.tags.get("run_id")
            if (
                dag_id
                and run_id
                and KEPT_TAG not in cluster.tags
                and ti.get_dr_count(dag_id=dag_id, run_ids=[run_id], states=_ENDED)
            ):
                self.log.info("Cluster %s has outlived the run %s of %s", cluster.id, run_id, dag_id)
                yield cluster

    def _remains(self, backend: Backend) -> Iterator[str]:
        """What ended clusters have left at the service; listed after the orphans were asked to end."""
        if isinstance(backend, LeavesRemains):
            yield from insist(lambda: list(backend.remains()), log=self.log)
