"""The button that opens a cluster's Spark UI."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow_ml_provider._compat import conf
from airflow_ml_provider.links.base import XComLink

PAGES = "/airflow-ml-provider/spark-ui"
"""Where the web server has its pages that make an address at the click: :mod:`airflow_ml_provider.plugins.spark_ui`."""


class SparkUILink(XComLink):
    """The Spark UI of the cluster that a task runs on."""

    name = "Spark UI"
    xcom_key = "spark_ui_url"


def page_of_task(ti: Any) -> str:
    """The address of the page that leads to the Spark UI of a task's job."""
    index = -1 if ti.map_index is None else ti.map_index
    parts = (ti.dag_id, ti.run_id, ti.task_id, str(index))
    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return f"{base}{PAGES}/{'/'.join(quote(part, safe='') for part in parts)}"
