"""Replay flights into a Kafka topic, one JSON message a flight, in the order of their scheduled departure.

    replay.py --input /data/flights/raw --brokers localhost:9092 --topic flights

Needs Spark's Kafka connector on the cluster. A replay that is run again sends every flight again. Hands back the rows.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

FIELDS = ["date", "carrier", "flight", "origin", "dest", "sched_dep_time", "dep_delay", "arr_delay", "distance"]


def replay(spark: SparkSession, source: str, brokers: str, topic: str) -> int:
    """Send every flight, keyed by its origin, and return how many there were."""
    flights = spark.read.parquet(f"{source}/flights").select(*FIELDS)
    messages = flights.orderBy("date", "sched_dep_time").select(
        F.col("origin").alias("key"), F.to_json(F.struct(*FIELDS)).alias("value")
    )
    messages.write.format("kafka").option("kafka.bootstrap.servers", brokers).option("topic", topic).save()
    return flights.count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--brokers", required=True, help="host:port, separated by commas")
    parser.add_argument("--topic", required=True)
    args = parser.parse_args()
    rows = replay(SparkSession.builder.getOrCreate(), args.input, args.brokers, args.topic)
    print(f"rows: {rows}")
    if path := os.environ.get("AIRFLOW_ML_RESULT"):
        Path(path).write_text(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
