"""The ready-made DAG of notebooks on a slice of the data, and beside it, on its cluster, a notebook that fails with a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from scripts.stack import Stack
from tests.e2e.conftest import CANARIES, Run
from tests.processes import eventually

DAG = "flight_notebooks"
FAILING = "failing_notebook"
pytestmark = pytest.mark.soak
CELL = '    raise PermissionError(f"{key} opens nothing")\nPermissionError: [REDACTED] opens nothing'


@pytest.fixture(scope="module")
def client(stack: Stack) -> MlflowClient:
    return MlflowClient(stack.mlflow_url, stack.mlflow_url)


def start(stack: Stack, root: Path, folder: Path, **conf: Any) -> Run:
    stack.api.put_connection("flights", {"conn_type": "mount", "extra": json.dumps({"source": str(folder)})})
    return Run(stack, root, DAG, stack.api.trigger(DAG, {"days": 6, **conf}), root)


def kept(client: MlflowClient, run_id: str, folder: Path) -> dict[str, str]:
    """The executed notebook's files by ending."""
    paths = [
        Path(client.download_artifacts(run_id, item.path, str(folder))) for item in client.list_artifacts(run_id, "notebook")
    ]
    return {path.suffix: path.read_text() for path in paths}


def link(stack: Stack, dag_id: str, run_id: str, task: str) -> str | None:
    found = stack.api.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/links")
    return found["extra_links"]["Notebook"]


def test_both_notebooks_run_whole_and_a_failing_one_tells_its_cell_and_no_secret(
    stack: Stack, spark_root: Path, client: MlflowClient, tmp_path: Path
) -> None:
    run = start(stack, spark_root, tmp_path / "flights")
    eventually(lambda: run.state("create_cluster") == "success", within=60)
    failing = stack.api.trigger(FAILING, {"cluster": run.cluster()})
    assert stack.api.wait_for_run(FAILING, failing, timeout=600) == "failed"
    _fails_in_words(stack, client, failing, tmp_path)

    assert stack.api.wait_for_run(DAG, run.run_id, timeout=1500) == "success", stack.api.states(DAG, run.run_id)
    explored, trained = ({**stack.api.xcoms(DAG, run.run_id, f"spark.{task}")} for task in ("explore", "train"))
    result = json.loads(trained["return_value"])
    assert (result["kind"], result["run_id"]) == ("logistic", trained["mlflow_run_id"])
    assert client.get_run(result["run_id"]).data.metrics == pytest.approx(result["metrics"])
    assert client.get_run(explored["mlflow_run_id"]).data.metrics["flights"] > 4000
    for task, shown in (("explore", "data:image/png"), ("train", "<td>holdout</td>")):
        run_id = stack.api.xcoms(DAG, run.run_id, f"spark.{task}")["mlflow_run_id"]
        page = kept(client, run_id, tmp_path)
        cells = json.loads(page[".ipynb"])["cells"]
        states = {cell["metadata"]["airflow_ml"]["state"] for cell in cells if cell["cell_type"] == "code"}
        assert states <= {"ok", "exited"} and shown in page[".html"]
        assert f"/runs/{run_id}/artifacts/notebook/" in str(link(stack, DAG, run.run_id, f"spark.{task}"))
    run.assert_nothing_is_left()


def _fails_in_words(stack: Stack, client: MlflowClient, run_id: str, folder: Path) -> None:
    xcoms = stack.api.xcoms(FAILING, run_id, "sign_in")
    files = kept(client, xcoms["mlflow_run_id"], folder)
    log = stack.api.log(FAILING, run_id, "sign_in")
    assert "Notebook notebook, cell 2 (Sign in) failed:" in log and CELL in log
    assert 'section class="failed"' in files[".html"] and "PermissionError" in files[".ipynb"]
    assert link(stack, FAILING, run_id, "sign_in") == xcoms["notebook_url"]
    run = client.get_run(xcoms["mlflow_run_id"])
    assert run.info.status == "FAILED"
    for text in (log, str(xcoms), str(run), *files.values()):
        assert CANARIES["credentials"] not in text


def test_a_run_trains_with_the_notebook_of_an_earlier_one(
    stack: Stack, spark_root: Path, client: MlflowClient, tmp_path: Path
) -> None:
    runs, revision = [], ""
    for _ in range(2):
        run = start(stack, spark_root, tmp_path / "flights", revision=revision)
        assert stack.api.wait_for_run(DAG, run.run_id, timeout=1500) == "success", stack.api.states(DAG, run.run_id)
        revision = stack.api.xcoms(DAG, run.run_id, "spark.train")["mlflow_run_id"]
        runs.append(client.get_run(revision))
    before, again = (found.data for found in runs)
    assert again.tags["airflow_ml.notebook.again"] == runs[0].info.run_id
    assert again.tags["airflow_ml.notebook.revision"] == before.tags["airflow_ml.notebook.revision"]
    assert again.metrics == pytest.approx(before.metrics)
