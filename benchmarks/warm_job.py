"""A small job on EMR Serverless as a warm one, against a job run with a driver of its own; and what the door of warm jobs costs.

    warm_job.py [--repeats 5]

The service is the fake of the tests: its job runs are real ``spark-submit`` on this machine, its session a real Spark Connect server
behind TLS and tokens. So the times are those of Spark and of this provider; what Amazon's scheduling adds to a job run is in neither
side. Each side has a first turn that does not count; our cluster's session is ready.

- The job counts 1000 rows: from handing it over until it is seen to have ended (a look each 10 ms).
- A client fetches a million rows: through the door, against the server itself.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clusters import COUNT, cluster, make_archive
from table import print_ratio, print_times

sys.path.insert(0, str(Path(__file__).parents[1]))
from airflow_ml_provider.backends.emr_serverless.backend import EmrServerlessBackend
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode, PythonFile
from airflow_ml_provider.operators.waiting import Killed
from airflow_ml_provider.operators.warm import Warm, session_id
from tests.fakes.emr import BUCKET, ROLE, Services, clients, serving
from tests.fakes.emr_sessions import door, trusted
from tests.soak.spark_for_emr import spark_for_emr

JOB = JobSpec(name="count", program=PythonFile(path=str(COUNT)))
REMOTE = "import json, os\njson.dump(dict(os.environ), open(os.environ['AIRFLOW_ML_RESULT'], 'w'))"
ROWS = 1_000_000
WARM, DOOR = 0.25, 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats + 1
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_archive(root)
        shown = trusted()
        os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = str(shown.cert)
        with serving(Services(speed=1, spark=spark_for_emr(root))) as services, cluster(root) as running:
            remote = _remote(running)
            with door(services.sessions, shown, remote["SPARK_REMOTE"], remote["SPARK_CONNECT_AUTHENTICATE_TOKEN"]):
                _jobs(services, root, repeats)
                _door(services, root, remote, repeats)


def _remote(running: Any) -> dict[str, str]:
    """How the session's server is reached."""
    plan = running.backend.plan_job(JobSpec(name="remote", program=PythonCode(source=REMOTE)))
    job = running.backend.submit(running.id, plan, token=uuid.uuid4().hex)
    while not (status := running.backend.poll(running.id, [job])[job]).state.ended:
        time.sleep(0.1)
    found: dict[str, str] = status.result
    return found


def _warm(services: Services, root: Path) -> tuple[EmrServerlessBackend, str, Warm]:
    backend = EmrServerlessBackend(clients(services), f"s3://{BUCKET}/bench")
    # The server here is of this machine's own Spark, so the release is one that nothing is known of.
    native = {"executionRoleArn": ROLE, "releaseLabel": "emr-99.0.0"}
    made = backend.create(backend.plan_cluster(ClusterSpec(native=native)), token=uuid.uuid4().hex)
    handle = Handle.parse(f"emr-serverless://bench/{made}")
    return backend, made, Warm(backend, handle, root / "cache", Killed(), 0.1, logging.getLogger())


def _jobs(services: Services, root: Path, repeats: int) -> None:
    backend, made, warm = _warm(services, root)

    def job_run() -> None:
        job = backend.submit(made, backend.plan_job(JOB), token=uuid.uuid4().hex)
        while not (status := backend.poll(made, [job])[job]).state.ended:
            time.sleep(0.01)
        if status.message:
            raise RuntimeError(status.message)

    sides = {"warm": lambda: warm.run(JOB, {}, token=uuid.uuid4().hex, attempt=0), "job run": job_run}
    found = _timed(sides, repeats)
    print_times("A small job", found)
    print_ratio("warm to job run", found["warm"], found["job run"], WARM)


def _door(services: Services, root: Path, remote: dict[str, str], repeats: int) -> None:
    from pyspark.sql import SparkSession

    os.environ["SPARK_CONNECT_AUTHENTICATE_TOKEN"] = remote["SPARK_CONNECT_AUTHENTICATE_TOKEN"]
    builder: Any = SparkSession.builder
    straight = builder.remote(remote["SPARK_REMOTE"].partition(";")[0]).create()
    with _warm(services, root)[2]._door() as (near, _):
        through = builder.remote(near.url(session_id("bench", 0))).create()
        sides = {"through the door": through, "straight": straight}
        found = _timed({name: _fetching(spark) for name, spark in sides.items()}, repeats)
        for spark in sides.values():
            spark.stop()
    print_times(f"{ROWS:,} rows fetched", found)
    print_ratio("door to straight", found["through the door"], found["straight"], DOOR)


def _fetching(spark: Any) -> Callable[[], Any]:
    return lambda: spark.range(ROWS).selectExpr("id", "id * 2.5 AS x", "hash(id) AS y").toArrow()


def _timed(sides: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each side, in turn; the first turn does not count."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, act in sides.items():
            begun = time.perf_counter()
            act()
            found[name].append(time.perf_counter() - begun)
    return {name: seconds[1:] for name, seconds in found.items()}


if __name__ == "__main__":
    main()
