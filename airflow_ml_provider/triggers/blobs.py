"""The old place of :mod:`airflow_ml_provider.adf.airflow.blob_watcher`, for triggers of serialized DAGs, for one more release."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(import_module("airflow_ml_provider.adf.airflow.blob_watcher"), name)
