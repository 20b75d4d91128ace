"""A run: from a configuration to a student checkpoint."""
