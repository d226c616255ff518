"""Machine learning on Spark from Airflow: ephemeral clusters, jobs, MLflow models and ready-made DAGs."""

from __future__ import annotations

__version__ = "0.1.0"
