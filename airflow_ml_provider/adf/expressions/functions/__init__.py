"""The functions of the language: what each takes, and what it gives."""

from __future__ import annotations

from airflow_ml_provider.adf.expressions.functions import collections, conversion, dates, logic, numbers, text
from airflow_ml_provider.adf.expressions.functions.signature import Function

__all__ = ["FUNCTIONS", "Function"]

FUNCTIONS: dict[str, Function] = {
    name.casefold(): function
    for module in (text, collections, logic, conversion, numbers, dates)
    for name, function in module.FUNCTIONS.items()
}
"""By name in small letters."""
