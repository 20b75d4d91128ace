"""From a teacher and images to a student checkpoint."""
