"""The DAG in the README is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.skipif(not README.exists(), reason="there is no README where a wheel is tested")
def test_the_dag_in_the_readme_is_one() -> None:
    from airflow.sdk import DAG

    found = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found
    source = found[1].replace("\nchurn()\n", "\nmade = churn()\n")
    names: dict[str, object] = {}
    exec(compile(source, "readme.py", "exec"), names)
    dag = names["made"]
    assert isinstance(dag, DAG)
    assert {"spark.create_cluster", "spark.ingest", "spark.train", "spark.terminate_cluster", "promote"} <= set(dag.task_ids)
    assert "spark.count" in dag.get_task("spark.train").upstream_task_ids
