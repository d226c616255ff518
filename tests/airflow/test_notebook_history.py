"""``airflow-ml notebook`` on MLflow in a database, as the operator and the runner fill it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.backends.memory import MemoryBackend
from airflow_ml_provider.cli import main
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import JobSpec, Notebook
from airflow_ml_provider.hooks.mlflow import MLflowHook
from airflow_ml_provider.models.notebooks import AGAIN_TAG, PATH_TAG, REVISION_TAG, USER_TAG
from airflow_ml_provider.operators.notebooks import page_of, with_text
from airflow_ml_provider.runners.notebook.cells import Cell
from airflow_ml_provider.runners.notebook.document import Ran, to_ipynb

HEAD = "# Databricks notebook source\n"
pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow and its database use what they deprecate


@pytest.fixture
def runs(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two runs of one notebook, and one of another, oldest first."""
    shutil.copy(database, tmp_path)
    monkeypatch.setenv(
        "AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps({"conn_type": "mlflow", "host": f"sqlite:///{tmp_path}/mlflow.db"})
    )
    hook = MLflowHook()
    made = []
    for name, source in (("etl", "x = 1"), ("etl", "x = 2"), ("my_etl", "y = 1")):
        run = hook.start_job_run(
            experiment="flights",
            dag_run_key="k",
            parent_name="p",
            job_token=f"{name}{source}",
            job_name=name,
            tags={
                PATH_TAG: f"/dags/{name}.py",
                REVISION_TAG: source,
                USER_TAG: "ada",
                "airflow.dag_id": "d",
                "airflow.run_id": "r",
            },
        )
        ran = Ran(
            Cell("python", source, source), [{"output_type": "stream", "name": "stdout", "text": f"did {source}\n"}], "ok", 0.1
        )
        texts = {name: source, "../lib/setup": "z = 1"}
        files = {key: {"name": f"{Path(key).name}.py", "text": f"{HEAD}{text}"} for key, text in texts.items()}
        hook.client.log_text(run.run_id, to_ipynb([ran], language="python", facts={}), f"notebook/{name}.ipynb")
        hook.client.log_text(run.run_id, json.dumps({"notebook": name, "files": files}), "notebook/source.json")
        hook.client.log_metric(run.run_id, "auc", 0.75)
        hook.end_job_run(run.run_id, succeeded=True)
        made.append(run.run_id)
    return made


def test_log_show_diff_and_restore(runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notebook", "log", "etl.py"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [runs[1], runs[0]]
    for words in ("x = 2", "FINISHED", "ada", "d r", "auc=0.75"):
        assert words in lines[0]
    assert main(["notebook", "log", "gone.py"]) == 1
    assert main(["notebook", "show", runs[0]]) == 0
    assert "x = 1\ndid x = 1\n" in capsys.readouterr().out
    assert main(["notebook", "diff", runs[0], runs[1]]) == 1
    assert "x = 2" in capsys.readouterr().out
    assert main(["notebook", "diff", runs[0], runs[0]]) == 0
    assert main(["notebook", "restore", runs[0], str(tmp_path / "old")]) == 0
    restored = Path(capsys.readouterr().out.strip())
    assert restored.read_text() == f"{HEAD}x = 1"
    assert (restored.parent / "../lib/setup.py").read_text() == f"{HEAD}z = 1"


def test_a_task_runs_the_text_of_an_earlier_run(runs: list[str], service: Any, run: Any, tmp_path: Path, log: Any) -> None:
    from airflow.sdk import DAG, Param

    from airflow_ml_provider.cluster import SparkCluster

    now = tmp_path / "etl.py"
    now.write_text("# Databricks notebook source\nx = 'of now'")
    revisions = {"then": runs[0], "today": "", "never": "f" * 32}
    params = {name: Param(revision, type="string") for name, revision in revisions.items()}
    with DAG("again", params=params) as dag, SparkCluster("spark", mlflow_conn_id="mlflow_default") as cluster:
        for name in revisions:
            cluster.job(name, program=Notebook(path=str(now), revision=f"{{{{ params.{name} }}}}"))
    done = run(dag)
    assert done.states["spark.never"] == "failed"
    assert f"MLflow run {revisions['never']}: there is none: airflow-ml notebook log PATH lists them" in log()
    jobs = [job.plan for made in service.clusters.values() for job in made.jobs.values()]
    sources = {plan["name"]: plan["program"]["source"] for plan in jobs}
    texts = {name: [text for text in ("x = 1", "of now", "z = 1") if text in source] for name, source in sources.items()}
    assert texts == {"then": ["x = 1", "z = 1"], "today": ["of now"]}
    for name in texts:
        tags = MLflowHook().client.get_run(done.xcom(f"spark.{name}", "mlflow_run_id")).data.tags
        assert (tags[PATH_TAG], tags.get(AGAIN_TAG, "")) == (str(now), revisions[name])


def test_the_text_is_read_once_a_try(tmp_path: Path) -> None:
    path = tmp_path / "etl.py"
    path.write_text("# Databricks notebook source\ndbutils.jobs.taskValues.get('before', 'n')")
    spec = with_text(JobSpec(name="etl", program=Notebook(path=str(path))), None)
    path.unlink()
    for _ in range(2):
        assert "taskValues" in MemoryBackend("once").plan_job(spec)["program"]["source"]
    assert page_of(spec, "http://mlflow").endswith("/artifacts/notebook/etl.html")
    with pytest.raises(SpecError, match=r"Notebook\.revision: got 'abc': takes a task with mlflow_conn_id"):
        with_text(JobSpec(name="etl", program=Notebook(revision="abc")), None)
