"""When Airflow starts runs."""
