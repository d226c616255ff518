"""Train one candidate, judge it on the hold-out, and log it to MLflow.

    train.py --input /data/flights/features --kind logistic|boosted_trees

Logs the metrics, a ROC and a calibration plot, the feature importances and the model to the run in ``MLFLOW_RUN_ID``, or to a
new one. Hands back ``{"kind", "run_id", "metrics"}``.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import mlflow
import numpy as np
import pyspark
from matplotlib.figure import Figure
from mlflow.models import Model
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import GBTClassifier, LogisticRegression
from pyspark.ml.feature import OneHotEncoder, StandardScaler, StringIndexer, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn import metrics as sk

mpl.use("Agg")

NUMERIC = [
    *("hour", "day_of_week", "scheduled_minutes", "distance", "plane_age", "seats"),
    *("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"),
]
CATEGORICAL = ["carrier", "origin", "dest"]
INDEXED = [f"{name}_index" for name in CATEGORICAL]
PARAMS = {"logistic": {"maxIter": 30, "regParam": 0.001}, "boosted_trees": {"maxIter": 15, "maxDepth": 5, "stepSize": 0.2}}


def train(spark: SparkSession, source: str, kind: str) -> dict[str, object]:
    """Fit, judge and log one candidate inside the current MLflow run."""
    table = spark.read.parquet(source).where(F.col("label").isNotNull())
    model = pipeline(kind).fit(table.where("split = 'train'"))
    scored = histogram(model.transform(table.where("split = 'holdout'")))
    found = judge(scored)
    mlflow.log_params({"kind": kind, **PARAMS[kind]})
    mlflow.log_metrics(found)
    mlflow.log_figure(roc_plot(scored, found["roc_auc"]), "roc.png")
    mlflow.log_figure(calibration_plot(scored), "calibration.png")
    ranked = importances(model)
    mlflow.log_dict(ranked, "feature_importances.json")
    mlflow.log_figure(importance_plot(ranked), "feature_importances.png")
    log_model(model)
    return {"kind": kind, "run_id": mlflow.active_run().info.run_id, "metrics": found}


def pipeline(kind: str) -> Pipeline:
    """Trees split on a category's index; a linear model needs a column for each category, and one scale."""
    index = StringIndexer(inputCols=CATEGORICAL, outputCols=INDEXED, handleInvalid="keep")
    if kind == "boosted_trees":
        assemble = VectorAssembler(inputCols=[*NUMERIC, *INDEXED], outputCol="features")
        return Pipeline(stages=[index, assemble, GBTClassifier(labelCol="label", maxBins=128, seed=7, **PARAMS[kind])])
    encode = OneHotEncoder(inputCols=INDEXED, outputCols=[f"{name}_flags" for name in CATEGORICAL])
    assemble = VectorAssembler(inputCols=[*NUMERIC, *encode.getOutputCols()], outputCol="unscaled")
    scale = StandardScaler(inputCol="unscaled", outputCol="features")
    return Pipeline(
        stages=[index, encode, assemble, scale, LogisticRegression(labelCol="label", standardization=False, **PARAMS[kind])]
    )


def histogram(predictions: DataFrame):
    """Flights by label and probability in steps of 0.001, a pandas table that is small whatever the data's size."""
    probability = vector_to_array("probability")[1]
    steps = predictions.select("label", probability.alias("p")).groupBy("label", F.round("p", 3).alias("step"))
    return steps.agg(F.avg("p").alias("p"), F.count("*").alias("flights")).toPandas().sort_values(["p", "label"])


def judge(scored) -> dict[str, float]:
    """Metrics on the hold-out."""
    truth, p, weight = scored["label"], scored["p"], scored["flights"]
    found = {
        "roc_auc": sk.roc_auc_score(truth, p, sample_weight=weight),
        "pr_auc": sk.average_precision_score(truth, p, sample_weight=weight),
        "log_loss": sk.log_loss(truth, p, sample_weight=weight),
        "brier": sk.brier_score_loss(truth, p, sample_weight=weight),
        "late_share": np.average(truth, weights=weight),
    }
    return {name: float(value) for name, value in found.items()}


def importances(model: PipelineModel) -> dict[str, float]:
    """How much each feature weighs, the heaviest first: a tree's gain, or a coefficient's size on the common scale."""
    last = model.stages[-1]
    labels = model.stages[0].labelsArray
    if hasattr(last, "featureImportances"):
        names, weights = [*NUMERIC, *CATEGORICAL], last.featureImportances.toArray()
    else:
        flags = [f"{name}={label}" for name, known in zip(CATEGORICAL, labels, strict=True) for label in known]
        names, weights = [*NUMERIC, *flags], np.abs(last.coefficients.toArray())
    return {name: float(weight) for weight, name in sorted(zip(weights, names, strict=True), reverse=True)}


def roc_plot(scored, area: float) -> Figure:
    false_positive, true_positive, _ = sk.roc_curve(scored["label"], scored["p"], sample_weight=scored["flights"])
    return plot(false_positive, true_positive, f"ROC, area {area:.3f}", "false positives", "true positives")


def calibration_plot(scored) -> Figure:
    """Predicted against observed share of late flights, in ten groups by probability."""
    groups = scored.assign(
        group=(scored["p"] * 10).astype(int), p=scored["p"] * scored["flights"], label=scored["label"] * scored["flights"]
    )
    sums = groups.groupby("group")[["p", "label", "flights"]].sum()
    return plot(sums["p"] / sums["flights"], sums["label"] / sums["flights"], "Calibration", "predicted", "observed", marker="o")


def plot(x, y, title: str, x_label: str, y_label: str, **style: str) -> Figure:
    figure = Figure(figsize=(5, 5), layout="tight")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "--", color="grey")
    axes.plot(x, y, **style)
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    return figure


def importance_plot(ranked: dict[str, float], shown: int = 15) -> Figure:
    figure = Figure(figsize=(6, 5), layout="tight")
    axes = figure.subplots()
    top = list(ranked.items())[:shown][::-1]
    axes.barh([name for name, _ in top], [weight for _, weight in top])
    axes.set(title="Feature importances")
    return figure


def log_model(model: PipelineModel) -> None:
    """Log the model as ``mlflow.spark.log_model`` does, whose own copying needs the JVM in this process (no Spark Connect)."""
    Model.log(artifact_path=None, name="model", flavor=SparkFlavor, spark_model=model)


class SparkFlavor:
    """Saves a pipeline in the layout of MLflow's ``spark`` flavor, through whatever session made it."""

    @staticmethod
    def save_model(spark_model: PipelineModel, path: str, mlflow_model: Model) -> None:
        folder = Path(path)
        with TemporaryDirectory() as scratch:
            spark_model.write().overwrite().save(f"file://{scratch}/sparkml")
            folder.mkdir(parents=True, exist_ok=True)
            Path(scratch, "sparkml").rename(folder / "sparkml")
        (folder / "requirements.txt").write_text(f"mlflow=={mlflow.__version__}\npyspark=={pyspark.__version__}\n")
        name = f"{type(spark_model).__module__}.{type(spark_model).__qualname__}"
        mlflow_model.add_flavor("spark", pyspark_version=pyspark.__version__, model_data="sparkml", code=None, model_class=name)
        mlflow.pyfunc.add_to_model(mlflow_model, loader_module="mlflow.spark", data="sparkml")
        mlflow_model.save(str(folder / "MLmodel"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--kind", choices=sorted(PARAMS), required=True)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="mlflow")
    with mlflow.start_run():
        result = train(SparkSession.builder.getOrCreate(), args.input, args.kind)
    print(json.dumps(result, indent=2))
    if path := os.environ.get("AIRFLOW_ML_RESULT"):
        Path(path).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
