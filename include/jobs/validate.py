"""Check the ingested tables. A bad batch fails, with the offending rows counted.

validate.py --input /data/flights/raw [--min-rows 500]
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F


def between(name: str, low: float, high: float) -> Column:
    return F.col(name).between(low, high)


def clock(name: str) -> Column:
    """A time such as 1745."""
    return between(name, 1, 2359) & (F.col(name) % 100 < 60)


# For each table, what every row must fulfil (a null does not), and the share of rows that may break it.
RULES: dict[str, dict[str, tuple[Column, float]]] = {
    "flights": {
        "date is a day of 2013": (F.year("date") == 2013, 0),
        "sched_dep_time is a time": (clock("sched_dep_time"), 0),
        "sched_arr_time is a time": (clock("sched_arr_time"), 0),
        "origin is a New York airport": (F.col("origin").isin("EWR", "JFK", "LGA"), 0),
        "carrier, flight and dest are known": (
            F.col("carrier").isNotNull() & F.col("flight").isNotNull() & F.col("dest").isNotNull(),
            0,
        ),
        "distance is 10 to 10000 miles": (between("distance", 10, 10_000), 0),
        "arr_delay is known, for a flight that arrived": (F.col("arr_delay").isNotNull(), 0.15),
        "arr_delay is -200 to 2000 minutes": (F.coalesce(between("arr_delay", -200, 2000), F.lit(True)), 0),
    },
    "weather": {
        "origin and hour are known": (F.col("origin").isNotNull() & between("hour", 0, 23), 0),
        "temp is -40 to 120 F": (between("temp", -40, 120), 0.01),
        "humid is 0 to 100 %": (between("humid", 0, 100), 0.01),
        "wind_speed is 0 to 150 mph": (between("wind_speed", 0, 150), 0.01),
        "visib is 0 to 10 miles": (between("visib", 0, 10), 0.01),
    },
    "planes": {
        "tailnum is known": (F.col("tailnum").isNotNull(), 0),
        "year is 1900 to 2013": (between("year", 1900, 2013), 0.05),
        "seats is 1 to 1000": (between("seats", 1, 1000), 0),
    },
}


def validate(spark: SparkSession, folder: str, min_rows: int = 500) -> dict[str, dict[str, int]]:
    """The rows, and for each rule the rows that break it, by table; :class:`ValueError` when one breaks too often."""
    report = {name: count(spark.read.parquet(f"{folder}/{name}"), rules) for name, rules in RULES.items()}
    problems = [problem for name in report for problem in problems_of(name, report[name], min_rows)]
    if problems:
        raise ValueError("Bad batch: " + "; ".join(problems))
    return report


def count(table: DataFrame, rules: dict[str, tuple[Column, float]]) -> dict[str, int]:
    """The rows and the rows that break each rule, in one pass."""
    broken = [F.count_if(~F.coalesce(rule, F.lit(False))).alias(name) for name, (rule, _) in rules.items()]
    return table.agg(F.count("*").alias("rows"), *broken).first().asDict()


def problems_of(table: str, counts: dict[str, int], min_rows: int) -> list[str]:
    rows = counts["rows"]
    few = [f"{table}: {rows} rows, and {min_rows} is the least"] if rows < min_rows else []
    allowed = {name: share for name, (_, share) in RULES[table].items()}
    return few + [
        f"{table}: {counts[name]} of {rows} rows break '{name}' ({share:.0%} may)"
        for name, share in allowed.items()
        if counts[name] > share * rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--min-rows", type=int, default=500, help="of each table")
    args = parser.parse_args()
    report = validate(SparkSession.builder.getOrCreate(), args.input, args.min_rows)
    print(json.dumps(report, indent=2))
    if path := os.environ.get("AIRFLOW_ML_RESULT"):
        Path(path).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
