"""What many tests share: made-up runs and models, ways to damage them, and readers of what was written."""
