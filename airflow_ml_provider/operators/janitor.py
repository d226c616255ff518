"""The operator that ends what no teardown reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.operator import BaseOperator

from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.hooks.spark_cluster import DEFAULT_CONN_ID, SparkClusterHook
from airflow_ml_provider.operators.base import final_errors, insist
from airflow_ml_provider.operators.spark_cluster import KEPT_TAG

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ml_provider.core.backend import Backend
    from airflow_ml_provider.core.state import OwnedCluster

_ENDED = ["success", "failed"]


class EndOrphanedClustersOperator(BaseOperator):
    """End every live cluster whose DAG run has ended, and return the handles.

    A cluster of a run that this Airflow does not know is left alone, as is one that no DAG made: another Airflow may share the
    service. So is one that serves later runs on purpose, until it is idle for too long. Where two of them have runs of the same names, give each a service account of its own.

    :param spark_conn_id: the connection whose service is looked at. Templated.
    :param report_only: only say which. Templated.
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
            backend = hook.backend
        only_say = str(self.report_only).lower() == "true"
        found = []
        for cluster in self._orphans(context, backend):
            handle = str(Handle(backend.name, self.spark_conn_id, cluster.id))
            found.append(handle)
            self.log.info("%s has outlived the run %s of %s", handle, cluster.tags["run_id"], cluster.tags["dag_id"])
            if not only_say:
                insist(partial(backend.terminate, cluster.id), log=self.log)
        self.log.info("%d clusters %s", len(found), "would be ended" if only_say else "were asked to end")
        return found

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
                yield cluster
