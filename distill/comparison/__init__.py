"""Recipes against each other, and the training loop against its bare steps."""
