"""Data Factory's blob events: Airflow's own triggerer sees a blob come and go in a real store, and its scheduler runs the pipelines."""

from __future__ import annotations

import json
from typing import Any

from scripts.stack import Stack
from tests.processes import eventually
from tests.servers.seaweedfs import S3Server

MOUNT, FOLDER = "blob_lake", "raw/in"
WATCHING = f"Watching mount://{MOUNT}/{FOLDER}/, where 1 files are"


def test_blobs_that_come_and_go_start_runs(stack: Stack, seaweedfs: S3Server) -> None:
    store, bucket = seaweedfs.client(), seaweedfs.make("blobs")
    connection = {**seaweedfs.connection, "extra": json.dumps(seaweedfs.connection["extra"])}
    stack.api.put_connection("blob_store", connection)
    extra = {"source": f"s3://{bucket}/lake", "credentials_conn_id": "blob_store"}
    stack.api.put_connection(MOUNT, {"conn_type": "mount", "extra": json.dumps(extra)})

    def put(name: str, text: str) -> None:
        store.put_object(Bucket=bucket, Key=f"lake/{FOLDER}/{name}", Body=text.encode())

    put("old.csv", "old")
    pause(stack, paused=False)
    eventually(lambda: stack.log("triggerer").count(WATCHING) == 2, within=600)
    for name, text in (("new.csv", "new"), ("new.txt", "no"), ("empty.csv", "")):
        put(name, text)
    assert returned(stack, "landed") == [{"folder": FOLDER, "file": "new.csv"}]
    store.delete_object(Bucket=bucket, Key=f"lake/{FOLDER}/old.csv")
    assert returned(stack, "withdrawn") == [{"folder": FOLDER, "file": "old.csv"}]
    assert len(runs(stack, "landed")) == 1
    pause(stack, paused=True)


def pause(stack: Stack, *, paused: bool) -> None:
    """Pause or unpause both DAGs. Their file is parsed again after that, which is when Airflow starts and ends watchers."""
    for dag_id in ("landed", "withdrawn"):
        stack.api.wait_for_dag(dag_id)
        dag = stack.api.call("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})
    stack.api.call("PUT", f"/parseDagFile/{dag['file_token']}")


def returned(stack: Stack, dag_id: str) -> list[Any]:
    """What the pipelines of the DAG's runs return, once there are some; all have succeeded."""
    found = eventually(lambda: runs(stack, dag_id), within=600)
    assert [stack.api.wait_for_run(dag_id, run_id, timeout=600) for run_id in found] == ["success"] * len(found)
    return [stack.api.xcoms(dag_id, run_id, "pipeline_end").get("return_value") for run_id in found]


def runs(stack: Stack, dag_id: str) -> list[str]:
    return [run["dag_run_id"] for run in stack.api.call("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"]]
