"""Listening to ``scheduler.step``, whoever calls it: what was handed over, and what it was called with."""
