"""One file for each target, and the table of them."""
