"""A notebook that fails with a secret in its hands, on the cluster whose handle is ``params.cluster``."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_ml_provider.core.spec import Notebook
from airflow_ml_provider.operators.spark_job import SparkJobOperator

SOURCE = """\
# Databricks notebook source
key = dbutils.secrets.get("service", "key")
print("the key is", key)

# COMMAND ----------

# DBTITLE 1,Sign in
displayHTML(f"<b>{key}</b>")
raise PermissionError(f"{key} opens nothing")
"""

with DAG("failing_notebook", schedule=None, catchup=False, params={"cluster": Param("", type="string")}):
    SparkJobOperator(
        task_id="sign_in",
        cluster="{{ params.cluster }}",
        program=Notebook(source=SOURCE, secrets={"service/key": "connection:service/password"}),
        mlflow_conn_id="mlflow_default",
    )
