"""One form for what came in: ``standardise.py FOLDER DAYS``, 0 days for all.

Reads ``FOLDER/ingested`` and ``FOLDER/raw/flights.csv``, whose columns are texts, and writes tables with types to ``FOLDER/standard``.
"""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

NUMBERS = ("year", "month", "day", "dep_delay", "arr_delay", "hour", "distance")


def main(folder: str, days: int) -> None:
    spark = SparkSession.builder.getOrCreate()
    flights = spark.read.csv(f"{folder}/raw/flights.csv", header=True, nullValue="NA")
    flights = flights.withColumns({name: F.col(name).cast("int") for name in NUMBERS})
    flights = flights.withColumn("date", F.make_date("year", "month", "day")).where("carrier IS NOT NULL AND dest IS NOT NULL")
    if days:
        flights = flights.where(F.dayofyear("date") <= days)
    flights.write.mode("overwrite").parquet(f"{folder}/standard/flights")
    airlines = spark.read.parquet(f"{folder}/ingested/airlines").select(
        F.upper("carrier").alias("carrier"), F.trim("name").alias("name")
    )
    airlines.write.mode("overwrite").parquet(f"{folder}/standard/airlines")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
