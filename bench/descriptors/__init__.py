"""Descriptors of whole datasets, on disk, by one process or many."""
