"""Exact and approximate search, and the figures of the Image Similarity Challenge."""
