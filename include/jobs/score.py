"""Score one day's flights with a registered model.

    score.py --input /data/flights/features --model models:/flight_delays@champion --output /data/flights/scores [--day 2013-12-31]

Writes each scheduled flight with the probability that it arrives late, as Parquet, to ``OUTPUT/date=DAY``. Hands back the rows.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import mlflow
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

KEYS = ["carrier", "flight", "origin", "dest", "sched_dep_time", "tailnum"]


def score(spark: SparkSession, source: str, model_uri: str, output: str, day: str | None = None) -> dict[str, object]:
    """Score a day, by default the last one, and return ``{"day", "rows", "mean_probability", "path"}``."""
    table = spark.read.parquet(source)
    day = day or str(table.agg(F.max("date")).first()[0])
    model = load(model_uri)
    probability = vector_to_array("probability")[1].alias("late_probability")
    path = f"{output}/date={day}"
    model.transform(table.where(F.col("date") == day)).select(*KEYS, probability).coalesce(1).write.mode("overwrite").parquet(
        path
    )
    rows, mean = spark.read.parquet(path).agg(F.count("*"), F.avg("late_probability")).first()
    if not rows:
        raise ValueError(f"--day {day}: {source} has no flight on it")
    return {"day": day, "rows": rows, "mean_probability": mean, "path": path}


def load(model_uri: str) -> PipelineModel:
    """A model of MLflow's ``spark`` flavor; ``mlflow.spark.load_model`` itself needs the JVM in this process (no Spark Connect)."""
    folder = mlflow.artifacts.download_artifacts(model_uri)
    return PipelineModel.load(f"file://{Path(folder).resolve()}/sparkml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--model", required=True, help="a model URI of MLflow")
    parser.add_argument("--output", required=True)
    parser.add_argument("--day", help="such as 2013-12-31; by default the last day")
    args = parser.parse_args()
    result = score(SparkSession.builder.getOrCreate(), args.input, args.model, args.output, args.day)
    print(result)
    if path := os.environ.get("AIRFLOW_ML_RESULT"):
        Path(path).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
