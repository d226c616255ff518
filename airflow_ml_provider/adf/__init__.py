"""Azure Data Factory and Synapse exports as DAGs. Everything but :mod:`~airflow_ml_provider.adf.airflow` is pure: it imports no Airflow."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ml_provider.adf.airflow.dag_file import adf_dags, register

__all__ = ["adf_dags", "register"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("airflow_ml_provider.adf.airflow.dag_file"), name)
