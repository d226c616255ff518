"""When an activity runs, and how a pipeline ends."""
