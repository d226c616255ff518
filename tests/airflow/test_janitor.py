"""The janitor ends clusters of runs that have ended, and no others."""

from __future__ import annotations

from dataclasses import replace

from airflow.sdk import DAG

from airflow_ml_provider.backends.memory import MemoryBackend
from airflow_ml_provider.core.errors import SpecError
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


def test_a_cluster_that_will_not_end_keeps_no_other_one_alive(run, service, log, monkeypatch):
    """EMR refuses to end a cluster with termination protection: its API's TerminateJobFlows says ValidationException."""
    with DAG("no_teardowns", schedule=None) as dag:
        CreateSparkClusterOperator(task_id="create")
    run(dag)
    ((protected, made),) = service.clusters.items()
    others = [f"c-{n}" for n in range(3)]
    service.clusters |= {id_: replace(made, jobs={}) for id_ in others}
    terminate = MemoryBackend.terminate

    def refuse(self, cluster):
        if cluster == protected:
            raise SpecError("TerminateJobFlows: ValidationException: termination protection is on")
        terminate(self, cluster)

    monkeypatch.setattr(MemoryBackend, "terminate", refuse)
    with DAG("janitor_goes_on", schedule=None) as dag:
        EndOrphanedClustersOperator(task_id="end")
    assert run(dag).state == "failed"
    assert {service.clusters[id_].state for id_ in others} == {ClusterState.TERMINATED}
    assert f"1 clusters could not be asked to end:\n{protected}: TerminateJobFlows: ValidationException" in log()


def test_it_deletes_what_ended_clusters_left_also_after_a_fault(run, service, monkeypatch):
    def remains(self):
        yield from ("c-stopped", "c-protected", "c-stopped-too")

    asked = []

    def terminate(self, cluster):
        asked.append(cluster)
        if cluster == "c-protected":
            raise SpecError("it is protected")

    monkeypatch.setattr(MemoryBackend, "remains", remains, raising=False)
    monkeypatch.setattr(MemoryBackend, "terminate", terminate)
    with DAG("janitor_deletes", schedule=None) as dag:
        EndOrphanedClustersOperator(task_id="say", report_only=True) >> EndOrphanedClustersOperator(task_id="end")
    assert run(dag).states == {"say": "success", "end": "failed"}
    assert asked == ["c-stopped", "c-protected", "c-stopped-too"]
