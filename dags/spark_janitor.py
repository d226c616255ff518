"""Ends clusters whose run has ended without them: once an hour, when it is switched on."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_ml_provider import EndOrphanedClustersOperator

with DAG(
    dag_id="spark_janitor",
    description="End clusters whose run has ended",
    doc_md=__doc__,
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["spark"],
    params={
        "connection": Param("spark_cluster_default", type="string", description="Whose clusters"),
        "report_only": Param(False, type="boolean", description="Only say which"),
    },
) as dag:
    EndOrphanedClustersOperator(task_id="end", spark_conn_id="{{ params.connection }}", report_only="{{ params.report_only }}")
