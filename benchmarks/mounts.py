"""Mounts: the same write and read by ``dbfs:/mnt/…`` and by the store's own URI, a cluster's start with and without, and what is downloaded."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from table import print_ratio, print_times

sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_ml_provider.core.mounts import Mount
from tests.mounts.clusters import MountedCluster, credentials, mounted_cluster
from tests.servers.seaweedfs import seaweedfs

PROGRAM = """
import json, os, time
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
data = spark.range({rows}).select("id", F.rand(7).alias("x"), F.sha2(F.col("id").cast("string"), 256).alias("text"))
for base in ("{first}", "{second}"):
    data.write.mode("overwrite").parquet(base + "/warm")
    spark.read.parquet(base + "/warm").agg(F.sum("x"), F.max("text")).collect()

def seconds(call):
    began = time.monotonic()
    call()
    return time.monotonic() - began

times = {{base: ([], []) for base in ("{first}", "{second}")}}

def sides(number):
    return list(times.items())[:: 1 if number % 2 else -1]

for number in range({rounds}):
    for base, (writes, _) in sides(number):
        writes.append(seconds(lambda: data.write.mode("overwrite").parquet(base + "/table")))
    for turn in range(4):
        for base, (_, reads) in sides(turn):
            reads.append(seconds(lambda: spark.read.parquet(base + "/table").agg(F.sum("x"), F.max("text")).collect()))
json.dump(times, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=7, help="writes of each side; four reads follow each")
    parser.add_argument("--starts", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, seaweedfs() as server:
        root = Path(folder)
        mounts = {Mount("raw", f"s3://{server.make('bench')}/data"): credentials(server.connection)}
        _start(root, {})  # makes the class-data archive
        _start(root, mounts)
        downloaded = sum(path.stat().st_size for path in (root / "cache" / "connectors").rglob("*.jar"))
        starts: dict[str, list[float]] = {"without mounts": [], "with mounts": []}
        for _ in range(options.starts):
            starts["without mounts"].append(_start(root, {}))
            starts["with mounts"].append(_start(root, mounts))
        print_times(f"Start of a cluster ({downloaded / 1e6:.1f} MB of connectors downloaded once)", starts)
        with mounted_cluster(root, mounts) as cluster:
            uris = {"first": "dbfs:/mnt/raw", "second": "s3a://bench/data"}
            times = cluster.run(PROGRAM.format(rows=options.rows, rounds=options.rounds, **uris))
    for number, what in enumerate(("Write", "Read")):
        sides = {uri: times[uri][number] for uri in uris.values()}
        print_times(f"{what} of {options.rows} rows", sides)
        mounted, raw = sides.values()
        print_ratio("dbfs:/mnt to s3a", mounted, raw, bound=1 / 0.97)


def _start(root: Path, mounts: dict[Mount, Any]) -> float:
    cluster = MountedCluster(root, mounts)
    cluster.end()
    return cluster.seconds


if __name__ == "__main__":
    main()
