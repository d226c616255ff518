"""What of an export runs here, and as what: verdicts, connections, clusters, programs, datasets."""
