"""Pipelines as DAGs: the only part of the importer that knows Airflow."""
