"""Views and their teacher's descriptors on disk."""
