"""Copies files of one format to files of another one: ``copy_tables.py REQUEST``, the request being JSON.

``{"read": {"format", "paths", "options"}, "columns": [{"source", "sink", "type"}], "more": {column: value}, "single": bool,
"write": {"format", "path", "options"}}``. Hands back ``{"rows": number}``. The folder that it writes is replaced.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F  # noqa: N812


def main() -> None:
    request = json.loads(sys.argv[1])
    spark = SparkSession.builder.getOrCreate()
    table = read(spark, **request["read"])
    table = shaped(table, request["columns"], request["more"])
    if request["single"]:
        table = table.coalesce(1)
    seen = Observation("copied")
    table = table.observe(seen, F.count(F.lit(1)).alias("rows"))
    write = request["write"]
    table.write.format(write["format"]).options(**write["options"]).mode("overwrite").save(write["path"])
    result = {"rows": seen.get["rows"]}
    print(f"copied: {result}")
    if path := os.environ.get("AIRFLOW_ML_RESULT"):
        Path(path).write_text(json.dumps(result))


def read(spark: SparkSession, format: str, paths: list[str], options: dict[str, str]) -> DataFrame:  # noqa: A002
    """The rows, a column without a name called ``Prop_0`` and so on."""
    reader = spark.read.format(format).options(**options)
    paths = [exact(path) for path in paths]
    if format == "json" and not _is_lines(spark, paths):
        reader = reader.option("multiLine", True)
    table = reader.load(paths)
    if format == "csv" and options.get("header") != "true":
        table = table.toDF(*(f"Prop_{number}" for number in range(len(table.columns))))
    return table


def exact(path: str) -> str:
    """The pattern that matches this path alone: Spark reads each path as a pattern of Hadoop's ``globStatus``."""
    return re.sub(r"[\\*?\[\]{}]", r"\\\g<0>", path)


def _is_lines(spark: SparkSession, paths: list[str]) -> bool:
    """Whether the first line is a whole object."""
    line = spark.read.text(paths).first()
    try:
        return isinstance(json.loads(line[0]), dict) if line else True
    except ValueError:
        return False


def shaped(table: DataFrame, columns: list[dict[str, str]], more: dict[str, str]) -> DataFrame:
    """The columns that are asked for, all of them when none is named, and more with one value each."""
    if columns:
        table = table.select([_column(one) for one in columns])
    for name, value in more.items():
        table = table.withColumn(name, F.lit(value))
    return table


def _column(one: dict[str, str]) -> Column:
    quoted = one["source"].replace("`", "``")
    found = F.col(f"`{quoted}`")
    return (found.cast(one["type"]) if one["type"] else found).alias(one["sink"])


if __name__ == "__main__":
    main()
