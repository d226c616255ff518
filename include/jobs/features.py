"""What is known of a flight before it departs, and whether it came late.

    features.py --input /data/flights/raw --output /data/flights/features [--holdout 0.2]

One row a scheduled flight: keys, features, ``label`` (1.0 when it arrived more than 15 minutes late, null when it never arrived)
and ``split``: the last days are the hold-out, so that a model is judged on days after those that it learned from.
"""

from __future__ import annotations

import argparse
import json
import os
from datetime import timedelta
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

KEYS = ["date", "carrier", "flight", "origin", "dest", "sched_dep_time", "tailnum"]
NUMERIC = [
    *("hour", "day_of_week", "scheduled_minutes", "distance", "plane_age", "seats"),
    *("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"),
]
# Columns of the raw flights that nobody knows before the aeroplane is in the air, or on the ground again.
KNOWN_LATER = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]
# What stands for a value that nobody recorded: a common one.
USUAL = {"plane_age": 11, "seats": 149, "temp": 55.0, "dewp": 41.0, "humid": 62.0, "wind_speed": 10.0, "precip": 0.0} | {
    "pressure": 1018.0,
    "visib": 10.0,
}


def features(spark: SparkSession, source: str, output: str, holdout: float = 0.2) -> dict[str, object]:
    """Write the features to ``output`` and return its rows by split and the hold-out's first day."""
    flights, weather, planes = (spark.read.parquet(f"{source}/{name}") for name in ("flights", "weather", "planes"))
    first_day = first_holdout_day(flights, holdout)
    table = join(flights, weather, planes).select(
        *KEYS,
        *(F.coalesce(F.col(name), F.lit(USUAL.get(name))).cast("double").alias(name) for name in NUMERIC),
        (F.col("arr_delay") > 15).cast("double").alias("label"),
        F.when(F.col("date") < F.lit(first_day), "train").otherwise("holdout").alias("split"),
    )
    table.write.mode("overwrite").parquet(output)
    rows = spark.read.parquet(output).groupBy("split").count().collect()
    return {"rows": {row["split"]: row["count"] for row in rows}, "holdout_from": first_day.isoformat()}


def first_holdout_day(flights: DataFrame, share: float):
    """The day from which on flights are held out: the last ``share`` of the days."""
    first, last = flights.agg(F.min("date"), F.max("date")).first()
    days = (last - first).days + 1
    if days < 2:
        raise ValueError(f"flights of {days} day cannot be split by time: take more")
    return last - timedelta(days=max(1, round(days * share)) - 1)


def join(flights: DataFrame, weather: DataFrame, planes: DataFrame) -> DataFrame:
    """Each flight with the weather at its airport in the scheduled hour, observed before it, and with its aeroplane."""
    place_and_time = ["origin", "year", "month", "day", "hour"]
    observed = weather.drop("time_hour").withColumn("wind_speed", F.when(F.col("wind_speed") <= 150, F.col("wind_speed")))
    observed = observed.dropDuplicates(place_and_time)
    built = planes.select("tailnum", "seats", F.col("year").alias("built"))
    return (
        flights.join(F.broadcast(observed), place_and_time, "left")
        .join(F.broadcast(built), "tailnum", "left")
        .withColumn("day_of_week", F.dayofweek("date"))
        .withColumn("plane_age", F.greatest(F.year("date") - F.col("built"), F.lit(0)))
        .withColumn("scheduled_minutes", (minutes("sched_arr_time") - minutes("sched_dep_time") + 1440) % 1440)
    )


def minutes(name: str) -> Column:
    """Minutes since midnight of a time such as 1745."""
    return F.floor(F.col(name) / 100) * 60 + F.col(name) % 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--holdout", type=float, default=0.2, help="share of the days, the last ones")
    args = parser.parse_args()
    result = features(SparkSession.builder.getOrCreate(), args.input, args.output, args.holdout)
    print(result)
    if path := os.environ.get("AIRFLOW_ML_RESULT"):
        Path(path).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
