"""Copy detectors of every kind against each other on one dataset: students, their teacher, rivals and hashes."""
