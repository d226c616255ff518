"""The old place of :mod:`airflow_ml_provider.adf.airflow.dag_file`, kept for DAG files of one more release."""

from __future__ import annotations

from airflow_ml_provider.adf.airflow.dag_file import adf_dags, pipeline_dag, register

__all__ = ["adf_dags", "pipeline_dag", "register"]
