"""When: which row of a run is shown, for how long."""
