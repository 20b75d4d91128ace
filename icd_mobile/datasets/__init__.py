"""What copies are judged on: references, queries and the pairs that match."""
