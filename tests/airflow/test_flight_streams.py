"""The streams' DAG as it is parsed."""

from __future__ import annotations

import runpy
from itertools import pairwise
from pathlib import Path

DAG_FILE = Path(__file__).parents[2] / "dags" / "flight_streams.py"


def test_it_is_a_line_of_jobs_on_one_cluster():
    dag = runpy.run_path(str(DAG_FILE))["dag"]
    line = ["create_cluster", "ingest", "replay", "stream", "pagerank", "store", "terminate_cluster"]
    for task, after in pairwise(line):
        assert f"spark.{after}" in dag.get_task(f"spark.{task}").downstream_task_ids
    assert dag.get_task("spark.create_cluster").spec["libraries"][0]["kind"] == "maven"
    assert dag.get_task("spark.pagerank").program["kind"] == "scala"
    assert dag.get_task("spark.store").libraries == [{"kind": "pypi", "requirement": "redis>=5"}]
