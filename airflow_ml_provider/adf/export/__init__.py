"""Exports as they lie on disk, read into the model."""
