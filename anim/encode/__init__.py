"""Film and picture formats: one module each, found by suffix in one table."""
