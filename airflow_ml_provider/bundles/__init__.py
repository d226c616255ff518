"""DAG bundles: what serves the ready-made DAGs."""
