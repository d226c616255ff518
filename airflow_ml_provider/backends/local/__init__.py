"""Spark on this machine: the embedded default. A supervisor process per cluster owns everything that runs."""
