"""One package for each service that runs Spark: core and that service's own SDK. Never Airflow, never a sibling."""
