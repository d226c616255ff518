"""The old place of the timetables in :mod:`airflow_ml_provider.adf.airflow.timetables`, for serialized DAGs of one more release."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(import_module("airflow_ml_provider.adf.airflow.timetables"), name)
