"""How late flights are by one of their columns: ``delays.py FOLDER COLUMN DAYS``, 0 days for all.

Reads ``FOLDER/raw/flights.csv`` and writes ``FOLDER/delays/COLUMN``. Hands back the number of rows.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def main(folder: str, column: str, days: int) -> None:
    spark = SparkSession.builder.getOrCreate()
    flights = spark.read.csv(f"{folder}/raw/flights.csv", header=True, nullValue="NA")
    if days:
        flights = flights.where(F.dayofyear(F.expr("make_date(year, month, day)")) <= days)
    delays = flights.groupBy(column).agg(F.count("*").alias("flights"), F.avg(F.expr("int(arr_delay)")).alias("mean_delay"))
    target = f"{folder}/delays/{column}"
    delays.write.mode("overwrite").parquet(target)
    rows = spark.read.parquet(target).count()
    print(f"{rows} rows by {column}")
    if path := os.environ.get("AIRFLOW_ML_RESULT"):
        Path(path).write_text(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
