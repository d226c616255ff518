"""What importing the provider adds to parsing a DAG file, over a DAG that imports ``airflow.sdk`` alone.

Each parse is a fresh interpreter, as in Airflow's DAG processor; both files are parsed in turn. Milliseconds by the clock, and of the
processor: what other work on the machine does to the first, it does not to the second.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 9

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
began = time.perf_counter(), time.process_time()
runpy.run_path(sys.argv[1])
print((time.perf_counter() - began[0]) * 1000, (time.process_time() - began[1]) * 1000)
"""


def parse(path: Path) -> tuple[float, float]:
    """Milliseconds that one parse takes in an interpreter of its own: by the clock, and of the processor."""
    done = subprocess.run([sys.executable, "-c", PARSE, str(path)], capture_output=True, text=True, check=True)
    wall, cpu = map(float, done.stdout.splitlines()[-1].split())
    return wall, cpu


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, text in (("airflow.sdk alone", PLAIN), ("with the provider", OURS)):
            files[name] = Path(folder, f"{name.replace(' ', '_').replace('.', '_')}.py")
            files[name].write_text(text)
        for path in files.values():
            parse(path)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in files}
        for _ in range(ROUNDS):
            for name, path in files.items():
                times[name].append(parse(path))
    for place, title in enumerate(("by the clock", "of the processor")):
        show(title, {name: [pair[place] for pair in pairs] for name, pairs in times.items()})


def show(title: str, times: dict[str, list[float]]) -> None:
    print(title)
    for name, values in times.items():
        print(f"  {name:<18} min {min(values):7.1f} ms   median {statistics.median(values):7.1f} ms   max {max(values):7.1f} ms")
    plain, ours = (statistics.median(values) for values in times.values())
    print(f"  the provider adds {ours - plain:.1f} ms to a parse (expected: at most 50), ratio {ours / plain:.2f}", flush=True)


if __name__ == "__main__":
    main()
