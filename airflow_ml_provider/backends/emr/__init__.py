"""Amazon EMR on EC2."""
