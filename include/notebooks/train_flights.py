# Databricks notebook source
# MAGIC %md
# MAGIC # Will a flight come late?
# MAGIC One candidate: it learns from the flights of the split `train`, and is judged on those of the split `holdout`.
# MAGIC
# MAGIC The model and its measures are those of `include/jobs/train.py`, which has to lie beside this notebook or among the job's files.

# COMMAND ----------

# DBTITLE 1,What to learn from, and how
dbutils.widgets.text("features", "dbfs:/mnt/flights/features", "The table of features")
dbutils.widgets.dropdown("kind", "logistic", ["logistic", "boosted_trees"], "The kind of model")

# COMMAND ----------

# DBTITLE 1,The flights that arrived
kind = dbutils.widgets.get("kind")
flights = spark.read.parquet(dbutils.widgets.get("features")).where("label IS NOT NULL")
flights.createOrReplaceTempView("flights")

# COMMAND ----------

# MAGIC %sql
# MAGIC SELECT split, count(*) AS flights, min(date) AS first, max(date) AS last, round(avg(label), 3) AS late
# MAGIC FROM flights GROUP BY split ORDER BY first

# COMMAND ----------

# DBTITLE 1,Learn
from train import calibration_plot, histogram, importances, judge, log_model, pipeline, roc_plot

model = pipeline(kind).fit(flights.where("split = 'train'"))

# COMMAND ----------

# DBTITLE 1,Judge
scored = histogram(model.transform(flights.where("split = 'holdout'")))
metrics = judge(scored)
display(roc_plot(scored, metrics["roc_auc"]))
display(calibration_plot(scored))
metrics

# COMMAND ----------

# DBTITLE 1,What weighs most
display(spark.createDataFrame(list(importances(model).items())[:15], "feature string, weight double"))

# COMMAND ----------

# DBTITLE 1,Keep it
import mlflow

with mlflow.start_run() as run:
    mlflow.log_param("kind", kind)
    mlflow.log_metrics(metrics)
    log_model(model)

# COMMAND ----------

import json

dbutils.notebook.exit(json.dumps({"kind": kind, "run_id": run.info.run_id, "metrics": metrics}))
