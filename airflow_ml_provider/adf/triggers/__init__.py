"""What starts a pipeline: recurrences, windows, events."""
