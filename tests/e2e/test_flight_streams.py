"""The ready-made DAG of streams on a day of the data, with a real broker and a real store."""

from __future__ import annotations

from pathlib import Path

import pyarrow.dataset as ds
import pytest

from scripts.stack import Stack
from tests.e2e.conftest import Run
from tests.servers.kafka import kafka
from tests.servers.redis import redis

DAG = "flight_streams"
FLIGHTS = 842

pytestmark = pytest.mark.soak


def test_the_whole_dag(stack: Stack, spark_root: Path, tmp_path: Path) -> None:
    with kafka() as brokers, redis() as store:
        conf = {"days": 1, "brokers": brokers, "store": store, "output": str(tmp_path)}
        run = Run(stack, spark_root, DAG, stack.api.trigger(DAG, conf), tmp_path)
        assert stack.api.wait_for_run(DAG, run.run_id, timeout=1500) == "success", stack.api.states(DAG, run.run_id)
        (folder,) = tmp_path.iterdir()
        assert ds.dataset(folder / "flights", partitioning="hive", exclude_invalid_files=True).count_rows() == FLIGHTS
        assert run.result("replay") == run.result("stream") == {"rows": FLIGHTS}
        stored = run.result("store")
        assert stored["airports"] == run.result("pagerank")["airports"] > 50 and "ATL" in stored["first"]
        assert "rows/s, lag 0 messages" in stack.api.log(DAG, run.run_id, "spark.stream")
    run.assert_nothing_is_left()
