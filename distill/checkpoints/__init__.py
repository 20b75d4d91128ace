"""The student checkpoints that ship with the project."""
