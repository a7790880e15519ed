"""All that is known of each scheduler, which one a run takes, and the rule for x̂0."""
