"""What importing the provider adds to parsing a DAG file, over a DAG that imports ``airflow.sdk`` alone.

Each round is a fresh interpreter that parses the plain file, which loads Airflow, then the plain file once more, then ours: what ours
takes beyond the second is the provider. Two interpreters in turn would differ by more than that from one run to the next. Milliseconds
by the clock, and of the processor: what other work on the machine does to the first, it does not to the second.
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
import runpy, sys, time
def parse(path):
    began = time.perf_counter(), time.process_time()
    runpy.run_path(path)
    return (time.perf_counter() - began[0]) * 1000, (time.process_time() - began[1]) * 1000
plain, ours = sys.argv[1:]
print(*parse(plain), *parse(plain), *parse(ours))
"""


def parse(plain: Path, ours: Path) -> list[float]:
    """Milliseconds in a fresh interpreter, each by the clock and of the processor: the plain file, it once more, and ours."""
    done = subprocess.run([sys.executable, "-c", PARSE, str(plain), str(ours)], capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()[-6:]]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain, ours = Path(folder, "plain.py"), Path(folder, "ours.py")
        plain.write_text(PLAIN)
        ours.write_text(OURS)
        parse(plain, ours)
        rounds = [parse(plain, ours) for _ in range(ROUNDS)]
    for place, title in enumerate(("by the clock", "of the processor")):
        show(title, [times[place::2] for times in rounds])


def show(title: str, rounds: list[list[float]]) -> None:
    first, again, ours = zip(*rounds, strict=True)
    print(title)
    for name, values in (("airflow.sdk alone", first), ("once more", again), ("with the provider", ours)):
        print(f"  {name:<18} min {min(values):7.1f} ms   median {statistics.median(values):7.1f} ms   max {max(values):7.1f} ms")
    added = statistics.median(after - before for before, after in zip(again, ours, strict=True))
    ratio = (statistics.median(first) + added) / statistics.median(first)
    print(f"  the provider adds {added:.1f} ms to a parse (expected: at most 50), ratio {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
