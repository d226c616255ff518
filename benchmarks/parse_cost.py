"""What importing the provider adds to parsing a DAG file, over a DAG that imports ``airflow.sdk`` alone.

Each parse is a fresh interpreter, as in Airflow's DAG processor; both files are parsed in turn. Prints milliseconds and a ratio.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 15

PLAIN = """
from airflow.sdk import DAG
from airflow.sdk.bases.operator import BaseOperator
with DAG("plain", schedule=None) as dag:
    steps = [BaseOperator(task_id=f"step_{n}") for n in range(5)]
    for before, after in zip(steps, steps[1:]):
        before >> after
"""

OURS = """
from airflow.sdk import DAG
from airflow_ml_provider.cluster import SparkCluster
with DAG("ours", schedule=None) as dag:
    with SparkCluster("cluster") as cluster:
        steps = [cluster.job(f"step_{n}", program="step.py") for n in range(3)]
        for before, after in zip(steps, steps[1:]):
            before >> after
"""

PARSE = """
import sys, time, runpy
began = time.perf_counter()
runpy.run_path(sys.argv[1])
print((time.perf_counter() - began) * 1000)
"""


def parse(path: Path) -> float:
    """Milliseconds that one parse takes in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", PARSE, str(path)], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, text in (("airflow.sdk alone", PLAIN), ("with the provider", OURS)):
            files[name] = Path(folder, f"{name.replace(' ', '_').replace('.', '_')}.py")
            files[name].write_text(text)
        for path in files.values():
            parse(path)
        times: dict[str, list[float]] = {name: [] for name in files}
        for _ in range(ROUNDS):
            for name, path in files.items():
                times[name].append(parse(path))
    plain, ours = (statistics.median(times[name]) for name in files)
    for name, values in times.items():
        print(f"{name:<20} min {min(values):7.1f} ms   median {statistics.median(values):7.1f} ms   max {max(values):7.1f} ms")
    print(f"the provider adds {ours - plain:.1f} ms to a parse (target: at most 50), ratio {ours / plain:.2f}")


if __name__ == "__main__":
    main()
