"""Airflow hooks: a connection, and what it opens."""
