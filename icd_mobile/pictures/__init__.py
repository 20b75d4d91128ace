"""Pictures: decoding, the pixel contract, edits, folders of them, and hashes of their look."""
