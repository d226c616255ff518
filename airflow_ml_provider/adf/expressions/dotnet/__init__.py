"""What the evaluator of Data Factory inherits from .NET: how it reads and writes numbers, JSON, dates and XML."""
