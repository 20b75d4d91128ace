"""What is benched, and its passes on a device."""
