"""Timing: which row of a run is shown, and for how long."""
