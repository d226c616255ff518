"""What Airflow's web server gains."""
