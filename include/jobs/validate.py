"""Check the ingested tables. A bad batch fails, with the offending rows counted.

validate.py --input /data/flights/raw [--min-rows 500]
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

# For each table, what every row must fulfil (a null does not), and the share of rows that may break it.
RULES: dict[str, dict[str, float]] = {
    "flights": {
        "year(date) = 2013": 0,
        "sched_dep_time BETWEEN 1 AND 2359 AND sched_dep_time % 100 < 60": 0,
        "sched_arr_time BETWEEN 1 AND 2359 AND sched_arr_time % 100 < 60": 0,
        "origin IN ('EWR', 'JFK', 'LGA')": 0,
        "carrier IS NOT NULL AND flight IS NOT NULL AND dest IS NOT NULL": 0,
        "distance BETWEEN 10 AND 10000": 0,
        "arr_delay IS NOT NULL": 0.15,  # cancelled and diverted flights never arrived
        "arr_delay IS NULL OR arr_delay BETWEEN -200 AND 2000": 0,
    },
    "weather": {
        "origin IS NOT NULL AND hour BETWEEN 0 AND 23": 0,
        "temp BETWEEN -40 AND 120": 0.01,
        "humid BETWEEN 0 AND 100": 0.01,
        "wind_speed BETWEEN 0 AND 150": 0.01,
        "visib BETWEEN 0 AND 10": 0.01,
    },
    "planes": {
        "tailnum IS NOT NULL": 0,
        "year BETWEEN 1900 AND 2013": 0.05,
        "seats BETWEEN 1 AND 1000": 0,
    },
}


def validate(spark: SparkSession, folder: str, min_rows: int = 500) -> dict[str, dict[str, int]]:
    """The rows, and for each rule the rows that break it, by table; :class:`ValueError` when one breaks too often."""
    report = {name: count(spark.read.parquet(f"{folder}/{name}"), rules) for name, rules in RULES.items()}
    problems = [problem for name in report for problem in problems_of(name, report[name], min_rows)]
    if problems:
        raise ValueError("Bad batch: " + "; ".join(problems))
    return report


def count(table: DataFrame, rules: dict[str, float]) -> dict[str, int]:
    """The rows and the rows that break each rule, in one pass."""
    broken = [F.count_if(~F.coalesce(F.expr(rule), F.lit(False))).alias(rule) for rule in rules]
    return table.agg(F.count("*").alias("rows"), *broken).first().asDict()


def problems_of(table: str, counts: dict[str, int], min_rows: int) -> list[str]:
    rows = counts["rows"]
    few = [f"{table}: {rows} rows, and {min_rows} is the least"] if rows < min_rows else []
    return few + [
        f"{table}: {counts[rule]} of {rows} rows break '{rule}' ({share:.0%} may)"
        for rule, share in RULES[table].items()
        if counts[rule] > share * rows
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
