"""Listening to ``scheduler.step``, whoever calls it: its steps, and the arguments of the pipeline's call."""
