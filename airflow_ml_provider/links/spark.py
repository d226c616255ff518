"""The button that opens a cluster's Spark UI."""

from __future__ import annotations

from airflow_ml_provider.links.base import XComLink


class SparkUILink(XComLink):
    """The Spark UI of the cluster that a task runs on."""

    name = "Spark UI"
    xcom_key = "spark_ui_url"
