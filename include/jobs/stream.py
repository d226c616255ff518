"""Stream a Kafka topic of flights into Parquet, partitioned by day. Every message is in the output exactly once.

    stream.py --brokers localhost:9092 --topic flights --output /data/flights/stream --checkpoint /data/flights/checkpoint [--follow]

Takes what is there and ends; with ``--follow``, runs until it is cancelled, and then stops between two batches. Where it was is in
the checkpoint: a run with the same one goes on from there. Prints a line a batch. Hands back the rows of this run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

SCHEMA = (
    "date DATE, carrier STRING, flight INT, origin STRING, dest STRING, sched_dep_time INT, dep_delay INT, arr_delay INT, "
    "distance INT"
)
PAUSE = 0.2


def flights(spark: SparkSession, brokers: str, topic: str, batch: int) -> DataFrame:
    """The topic's messages as flights, at most ``batch`` at once."""
    options = {"kafka.bootstrap.servers": brokers, "subscribe": topic, "startingOffsets": "earliest"}
    messages = spark.readStream.format("kafka").options(**options).option("maxOffsetsPerTrigger", batch).load()
    return messages.select(F.from_json(F.col("value").cast("string"), SCHEMA).alias("flight")).select("flight.*")


def run(table: DataFrame, output: str, checkpoint: str, asked_to_stop: threading.Event, *, follow: bool) -> int:
    """Write the stream until it has ended or somebody asked it to stop, and return the rows of this run."""
    writer = table.writeStream.format("parquet").partitionBy("date")
    writer = writer.option("path", output).option("checkpointLocation", checkpoint)
    query = (writer.trigger(processingTime="1 second") if follow else writer.trigger(availableNow=True)).start()
    rows, seen = 0, -1
    while True:
        ended = query.awaitTermination(PAUSE)
        for progress in query.recentProgress:
            if progress["batchId"] > seen and (taken := total(progress, "numInputRows")):
                seen, rows = progress["batchId"], rows + int(taken)
                print(line(progress), flush=True)
        if ended:
            return rows
        if asked_to_stop.is_set() and not query.status["isTriggerActive"]:
            query.stop()
            print("stopped between two batches, as asked", flush=True)
            return rows


def total(progress, name: str) -> float:
    """A number of every source together: PySpark gives none for the whole query under Spark Connect."""
    return sum(source[name] or 0 for source in progress["sources"])


def line(progress) -> str:
    """What a batch did: rows, rows a second, and how many messages the partition that is furthest behind has waiting."""
    behind = max(int((source["metrics"] or {}).get("maxOffsetsBehindLatest", 0)) for source in progress["sources"])
    rows, rate = (total(progress, name) for name in ("numInputRows", "processedRowsPerSecond"))
    return f"batch {progress['batchId']}: {rows:.0f} rows, {rate:.0f} rows/s, lag {behind} messages"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", required=True, help="host:port, separated by commas")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--checkpoint", required=True, help="a folder that no other stream uses, and that survives retries")
    parser.add_argument("--batch", type=int, default=20_000, help="messages of a batch, at most")
    parser.add_argument("--follow", action="store_true", help="run until it is cancelled")
    args = parser.parse_args()
    asked_to_stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.set())
    table = flights(SparkSession.builder.getOrCreate(), args.brokers, args.topic, args.batch)
    rows = run(table, args.output, args.checkpoint, asked_to_stop, follow=args.follow)
    print(f"rows: {rows}")
    if path := os.environ.get("AIRFLOW_ML_RESULT"):
        Path(path).write_text(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
