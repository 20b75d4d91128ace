"""The hot paths against what the hardware and the runtimes' own tools can do."""
