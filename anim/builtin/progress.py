"""Progress messages of this package's two commands, on stderr."""

from __future__ import annotations

import sys

from ..progress import Lines


def say(text: str) -> None:
    """Print a line for the user."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class Share:
    """Prints how much of some work is done."""

    def __init__(self, work: str, *, start: float = 0.0) -> None:
        """Begin.

        Args:
            work: what the work is called.
            start: how much of it is done already, 0 to 1.
        """
        self._lines = Lines(work, start)

    def advance(self, progress: float, note: str = "") -> None:
        """Report that ``progress``, 0 to 1, is done."""
        line = self._lines.line(progress, 1.0, f"{min(progress, 1):.1%}")
        if line is not None:
            say(f"{line}{note and ', '}{note}")
