"""The janitor ends clusters of runs that have ended, and no others."""

from __future__ import annotations

from dataclasses import replace

from airflow.sdk import DAG

from airflow_ml_provider.core.state import ClusterState
from airflow_ml_provider.operators.janitor import EndOrphanedClustersOperator
from airflow_ml_provider.operators.spark_cluster import CreateSparkClusterOperator


def test_it_ends_what_outlived_its_run_and_nothing_else(run, service):
    with DAG("no_teardown", schedule=None) as dag:
        CreateSparkClusterOperator(task_id="create")
    left = run(dag).xcom("create")
    ((orphan, made),) = service.clusters.items()
    tags = {
        "elsewhere": {**made.plan["tags"], "run_id": "of another Airflow"},
        "by-hand": {},
        "on-demand": {**made.plan["tags"], "kept": "true"},
    }
    service.clusters |= {id_: replace(made, jobs={}, plan={**made.plan, "tags": tags[id_]}) for id_ in tags}
    with DAG("janitor", schedule=None) as dag:
        create = CreateSparkClusterOperator(task_id="create")
        look = EndOrphanedClustersOperator(task_id="look", report_only="{{ 'True' }}")
        end = EndOrphanedClustersOperator(task_id="end", spark_conn_id="spark_cluster_default")
        create >> look >> end
    done = run(dag)
    assert done.state == "success"
    assert done.xcom("look") == done.xcom("end") == [left]
    ended = {id_ for id_, cluster in service.clusters.items() if cluster.state is ClusterState.TERMINATED}
    assert ended == {orphan}
    assert len(service.clusters) == 5
