"""All that is known about each scheduler, the choice of one for a run, and the rule for x̂0."""
