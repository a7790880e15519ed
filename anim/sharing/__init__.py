"""Finished files: where they come from, how to embed them elsewhere, and profiles for common uses."""
