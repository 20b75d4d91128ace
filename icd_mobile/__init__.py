"""What image copy detection itself is, and the few helpers that every command shares."""
