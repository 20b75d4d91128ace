"""What a run measured, as raw values, and how it is read."""
