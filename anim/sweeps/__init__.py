"""Sweeps: many runs that differ in their settings, recorded by any executor into one folder.

Nothing heavy is imported here, as the command line's help reads the default.
"""

MOST_TOGETHER = 16
"""Images in a batch of several cells, unless asked otherwise."""
