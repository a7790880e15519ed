"""What the two commands of this package print as they go, on stderr."""

from __future__ import annotations

import sys
import time

SECONDS_BETWEEN_LINES = 5.0


def say(text: str) -> None:
    """A line for the user."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class Lines:
    """How far some work is, and how long it still takes, in a line every few seconds."""

    def __init__(self, work: str, *, start: float = 0.0) -> None:
        """Begin.

        Args:
            work: what is done.
            start: how much of it was done before, 0 to 1.
        """
        self._work = work
        self._start = start
        self._began = time.monotonic()
        self._last = -SECONDS_BETWEEN_LINES

    def advance(self, progress: float, note: str = "") -> None:
        """``progress``, 0 to 1, is done."""
        now = time.monotonic()
        if progress < 1 and now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        done = progress - self._start
        left = f", {(now - self._began) / done * (1 - progress):.0f} s left" if done > 0 and progress < 1 else ""
        say(f"{self._work}: {min(progress, 1):.1%}{left}{note and ', '}{note}")
