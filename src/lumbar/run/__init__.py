"""A run: its folder, what its results were made from, and the checkpoints in it."""
