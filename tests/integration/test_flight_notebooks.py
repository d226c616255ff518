"""A notebook of dags/flight_notebooks.py through the operator to MLflow, beside one that fails with a secret: Airflow's own runner, Spark, MLflow."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest_plugins = ("tests.airflow.conftest",)
NOTEBOOKS = Path(__file__).parents[2] / "include" / "notebooks"
SECRET = "kanarie-1f4e-nooit-getoond"
FAILS = """\
# Databricks notebook source
key = dbutils.secrets.get("service", "key")
print("the key is", key)

# COMMAND ----------

# DBTITLE 1,Sign in
displayHTML(f"<b>{key}</b>")
raise PermissionError(f"{key} opens nothing")
"""
LAST = '    raise PermissionError(f"{key} opens nothing")\nPermissionError: [REDACTED] opens nothing'


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Four flights and the weather at their hours, as include/jobs/ingest.py writes them."""
    hours = {"origin": ["JFK"] * 4, "year": [2013] * 4, "month": [1] * 4, "day": [1] * 4, "hour": [5, 6, 7, 8]}
    flights = {**hours, "carrier": ["AA", "AA", "UA", "UA"], "arr_delay": [16, 3, None, 40], "date": [date(2013, 1, 1)] * 4}
    for name, table in (("flights", flights), ("weather", {**hours, "precip": [0.0, 0.1, 0.0, 0.3]})):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table(table), tmp_path / name / "part.parquet")
    return tmp_path


@pytest.mark.filterwarnings("ignore")  # MLflow and its database use what they deprecate
@pytest.mark.soak
def test_a_notebook_is_kept_with_its_run_and_a_failing_one_tells_its_cell_and_no_secret(
    run: Any, spark_root: Path, raw: Path, database: Path, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    from airflow.sdk import DAG

    from airflow_ml_provider.cluster import SparkCluster
    from airflow_ml_provider.core.spec import Notebook
    from airflow_ml_provider.hooks.mlflow import MLflowHook

    shutil.copy(database, raw)
    tracking = {"ui_url": "http://mlflow.example.com", "artifact_location": str(raw / "artifacts")}
    connections = {
        "SPARK_CLUSTER_DEFAULT": {"conn_type": "spark_cluster", "extra": {"backend": "local", "staging_uri": str(spark_root)}},
        "MLFLOW_DEFAULT": {"conn_type": "mlflow", "host": f"sqlite:///{raw}/mlflow.db", "extra": tracking},
        "SERVICE": {"conn_type": "generic", "password": SECRET},
    }
    for name, fields in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(fields))
    small = {"driver": {"cores": 2, "memory": "1g"}, "mlflow_conn_id": "mlflow_default", "deferrable": False}
    with DAG("notebooks") as dag, SparkCluster("spark", **small) as cluster:
        explore = NOTEBOOKS / "explore_flights.ipynb"
        cluster.job("explore", program=Notebook(path=str(explore), parameters={"folder": str(raw)}))
        cluster.job("sign_in", program=Notebook(source=FAILS, secrets={"service/key": "connection:service/password"}))
    done, client = run(dag), MLflowHook().client
    said = log()
    assert done.states["spark.explore"] == "success", said
    assert client.get_run(done.xcom("spark.explore", "mlflow_run_id")).data.metrics == {"flights": 4, "late_share": 2 / 3}
    page, document = _kept(client, done, "explore", raw)
    assert "data:image/png" in page and "&lt;td&gt;UA&lt;/td&gt;" in page
    assert {cell["metadata"]["airflow_ml"]["state"] for cell in document if cell["cell_type"] == "code"} == {"ok"}

    assert done.states["spark.sign_in"] == "failed"
    page, document = _kept(client, done, "sign_in", raw)
    assert 'section class="failed"' in page and document[1]["outputs"][-1]["ename"] == "PermissionError"
    assert "Notebook notebook, cell 2 (Sign in) failed:" in said and LAST in said
    everything = [said, page, str(document), str(done.xcoms()), str(client.get_run(done.xcom("spark.sign_in", "mlflow_run_id")))]
    assert not [text for text in everything if SECRET in text]


def _kept(client: Any, done: Any, task: str, folder: Path) -> tuple[str, list[Any]]:
    """The executed notebook's page, to which the task's button leads, and its cells."""
    run_id, url = (done.xcom(f"spark.{task}", key) for key in ("mlflow_run_id", "notebook_url"))
    assert url.startswith("http://mlflow.example.com/#/experiments/") and f"/runs/{run_id}/artifacts/notebook/" in url
    page = client.download_artifacts(run_id, url.partition("/artifacts/")[2], str(folder))
    return Path(page).read_text(), json.loads(
        Path(client.download_artifacts(run_id, f"notebook/{Path(page).stem}.ipynb", str(folder))).read_text()
    )["cells"]
