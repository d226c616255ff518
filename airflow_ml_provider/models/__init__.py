"""What becomes of a model: tracked, registered, judged, promoted. Plain functions over an MLflow client; no Airflow."""
