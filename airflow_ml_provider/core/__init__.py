"""What every backend shares. Pure: the standard library and pydantic, neither Airflow nor any SDK."""
