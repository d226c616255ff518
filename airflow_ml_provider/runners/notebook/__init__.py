"""Runs notebooks on a cluster: shipped whole with the notebook, it imports the standard library and PySpark alone."""
