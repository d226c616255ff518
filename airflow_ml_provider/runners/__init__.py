"""Programs that run where Spark runs. They import nothing of this package."""
