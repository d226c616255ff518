"""Azure Data Factory and Synapse exports: read, evaluated, judged and made DAGs. Only ``dag`` imports Airflow."""
