# Databricks notebook source
# MAGIC %md
# MAGIC ## How late the airlines are, by month
# MAGIC Reads `raw/flights.csv` of the folder and writes `summary`; `days` takes the year's first days only, 0 all of them.

# COMMAND ----------

dbutils.widgets.text("folder", "")
dbutils.widgets.text("days", "0")
folder, days = dbutils.widgets.get("folder"), int(dbutils.widgets.get("days"))

# COMMAND ----------

from pyspark.sql import functions as F

flights = spark.read.csv(f"{folder}/raw/flights.csv", header=True, inferSchema=True, nullValue="NA")
if days:
    flights = flights.where(F.dayofyear(F.make_date("year", "month", "day")) <= days)

# COMMAND ----------

summary = flights.groupBy("carrier", "month").agg(
    F.count("*").alias("flights"),
    F.round(F.avg("arr_delay"), 2).alias("mean_delay"),
    F.count_if(F.col("arr_delay").isNull()).alias("never_arrived"),
)
summary.orderBy("carrier", "month").write.mode("overwrite").parquet(f"{folder}/summary")

# COMMAND ----------

import json

total = spark.read.parquet(f"{folder}/summary").agg(F.sum("flights")).first()[0]
dbutils.notebook.exit(json.dumps({"flights": total}))
