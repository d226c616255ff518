"""Operators for the activities of Data Factory pipelines."""
