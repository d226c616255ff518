"""URIs of Airflow assets."""
