"""The photographs that int8 ranges are read from, and what they must not share with a benchmark."""
