"""A thousand rows counted: a job that is nearly nothing but its start and its end."""

from __future__ import annotations

from pyspark.sql import SparkSession

rows = SparkSession.builder.getOrCreate().range(1000).count()
if rows != 1000:
    raise ValueError(f"counted {rows} rows")
