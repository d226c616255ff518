"""Filesystems of Airflow's object storage."""
