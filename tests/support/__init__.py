"""What many tests share: made-up runs and models, ways to damage them, and readers of what was written."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
"""Where a process of its own finds this package."""
