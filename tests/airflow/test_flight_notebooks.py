"""The notebooks' DAG as it is parsed."""

from __future__ import annotations

import runpy
from pathlib import Path

DAG_FILE = Path(__file__).parents[2] / "dags" / "flight_notebooks.py"


def test_the_dag_runs_its_notebooks_side_by_side():
    dag = runpy.run_path(str(DAG_FILE))["dag"]
    assert dag.get_task("spark.ingest").downstream_task_ids == {"spark.explore", "spark.features", "spark.terminate_cluster"}
    for name, before in (("explore", "ingest"), ("train", "features")):
        task = dag.get_task(f"spark.{name}")
        assert f"spark.{before}" in task.upstream_task_ids
        assert task.program["kind"] == "notebook" and (DAG_FILE.parent / task.program["path"]).is_file()
    assert dag.get_task("spark.train").program["revision"] == "{{ params.revision }}"
