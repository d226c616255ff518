"""What the services of Amazon have in common: clients, errors, storage, tags. No backend itself."""
