"""The button that opens a task's executed notebook."""

from __future__ import annotations

from airflow_ml_provider.links.base import XComLink


class NotebookLink(XComLink):
    """The executed notebook, outputs and failing cell included, kept with the task's MLflow run."""

    name = "Notebook"
    xcom_key = "notebook_url"
