"""Delays by airline and hour of the day: ``transform.py FOLDER``. Reads ``FOLDER/standard`` and writes ``FOLDER/transformed``."""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def main(folder: str) -> None:
    spark = SparkSession.builder.getOrCreate()
    flights, airlines = (spark.read.parquet(f"{folder}/standard/{name}") for name in ("flights", "airlines"))
    hours = flights.join(airlines, "carrier").groupBy("carrier", "name", "hour")
    found = hours.agg(F.count("*").alias("flights"), F.round(F.avg("dep_delay"), 2).alias("mean_delay"))
    found.orderBy("carrier", "hour").coalesce(1).write.mode("overwrite").parquet(f"{folder}/transformed")


if __name__ == "__main__":
    main(sys.argv[1])
