"""Records as a page that a person reads."""
