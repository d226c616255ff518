"""The button that opens a task's run in MLflow."""

from __future__ import annotations

from airflow_ml_provider.links.base import XComLink


class MLflowRunLink(XComLink):
    """The task's own run in MLflow."""

    name = "MLflow run"
    xcom_key = "mlflow_run_url"
