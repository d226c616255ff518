"""The ready-made DAG from raw files to a scored day, on a slice of the data, in both ways to wait and on two clouds' storage."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.core.mounts import Credentials, Mount, open_mount
from scripts.stack import Stack
from tests.e2e.conftest import Run
from tests.servers.azurite import BlobServer
from tests.servers.seaweedfs import S3Server

DAG = "flight_delays"
METRICS = {"roc_auc", "pr_auc", "log_loss", "brier"}
PLOTS = {"roc.png", "calibration.png", "feature_importances.png"}


@dataclass
class Store:
    """A place in a real object store, and the connection that opens it."""

    connection: dict[str, Any]
    source: str

    def mount(self, stack: Stack) -> None:
        """Lead the mount ``flights`` there: nothing else of Airflow or the DAG is touched."""
        stack.api.put_connection("store", {**self.connection, "extra": json.dumps(self.connection["extra"])})
        extra = {"source": self.source, "credentials_conn_id": "store"}
        stack.api.put_connection("flights", {"conn_type": "mount", "extra": json.dumps(extra)})

    def rows(self, path: str) -> int:
        """The rows of a Parquet table of the mount."""
        opened = open_mount(Mount("flights", self.source), Credentials("store", **self.connection))
        filesystem = fsspec.filesystem(opened.protocol, **opened.options)
        found = path.replace("dbfs:/mnt/flights", opened.path)
        return int(pq.read_table(found, filesystem=filesystem, partitioning=None).num_rows)


def finish(stack: Stack, root: Path, store: Store) -> Run:
    """A whole run of the DAG."""
    store.mount(stack)
    run = Run(stack, root, DAG, stack.api.trigger(DAG, {"days": 4, "threshold": 0.5}), root)
    state = stack.api.wait_for_run(DAG, run.run_id, timeout=1500)
    assert state == "success", stack.api.states(DAG, run.run_id)
    return run


@pytest.fixture(scope="module")
def client(stack: Stack) -> MlflowClient:
    return MlflowClient(stack.mlflow_url, stack.mlflow_url)


@pytest.mark.soak  # a minute and more; the one on Azure is the longer way
def test_the_whole_dag_in_sync_mode_on_s3(stack: Stack, spark_root: Path, client: MlflowClient, seaweedfs: S3Server) -> None:
    store = Store(seaweedfs.connection, f"s3://{seaweedfs.make('flights')}/lake")
    run = finish(stack, spark_root, store)
    assert "trigger" not in str([*_logs(run, "ingest")])
    _check(run, client, store)


def test_the_whole_dag_in_deferred_mode_on_azure(
    stack: Stack, spark_root: Path, client: MlflowClient, azurite: BlobServer
) -> None:
    stack.env["AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"] = "True"
    stack.restart("scheduler")
    store = Store(azurite.connection, f"wasbs://{azurite.make('flights')}@{azurite.account}.blob.core.windows.net/lake")
    run = finish(stack, spark_root, store)
    assert "trigger" in str([*_logs(run, "ingest")])
    _check(run, client, store)


def _check(run: Run, client: MlflowClient, store: Store) -> None:
    """Each run of the DAG adds a version, which is the champion: the same data gives the same model."""
    runs = run.stack.api.call("GET", f"/dags/{DAG}/dagRuns")["dag_runs"]
    trained = _trained(run)
    assert len({result["run_id"] for result in trained}) == 2
    for result in trained:
        _check_run(run, client, result)
    registered = client.get_model_version_by_alias(DAG, "champion")
    best = max(trained, key=lambda result: float(result["metrics"]["roc_auc"]))
    assert (str(registered.version), registered.run_id) == (str(len(runs)), best["run_id"])
    assert len(client.search_model_versions(f"name = '{DAG}'")) == len(runs)
    scored = run.result("score")
    assert scored["day"] == "2013-01-04"
    assert store.rows(scored["path"]) == scored["rows"] > 500
    run.assert_nothing_is_left()
    assert not list(LocalBackend(run.root).owned())


def _check_run(run: Run, client: MlflowClient, result: dict[str, Any]) -> None:
    """The job's run: its metrics, plots and model, where it came from, and the DAG run's own above it."""
    found = client.get_run(result["run_id"])
    assert found.info.status == "FINISHED"
    assert found.data.metrics.keys() >= METRICS
    assert {item.path for item in client.list_artifacts(result["run_id"])} >= PLOTS
    tags = found.data.tags
    assert (tags["airflow.dag_id"], tags["airflow.run_id"], tags["airflow.task_id"]) == (DAG, run.run_id, "spark.train")
    assert tags["airflow.try_number"] == "1"
    assert tags["spark.cluster"] == run.cluster()
    parent = client.get_run(tags["mlflow.parentRunId"])
    assert parent.info.status == "FINISHED"
    assert run.run_id in parent.info.run_name


def _trained(run: Run) -> list[dict[str, Any]]:
    return [run.stack.api.xcoms(DAG, run.run_id, "spark.train", index)["return_value"] for index in range(2)]


def _logs(run: Run, task: str) -> list[Path]:
    return list((run.stack.home / "logs" / f"dag_id={DAG}" / f"run_id={run.run_id}" / f"task_id=spark.{task}").iterdir())
