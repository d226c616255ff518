"""Pipelines that blobs start, by Airflow's real triggerer. Paused: their watchers begin when the test has made their mount."""

from __future__ import annotations

from airflow_ml_provider.adf import adf_dags

# Airflow looks for DAGs in the files that say "dag" and "airflow".
adf_dags("blobs", watch_interval=1, is_paused_upon_creation=True)
