"""Operators of the DAGs that pipelines become."""
