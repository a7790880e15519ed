"""Progress of long work and the time left, as a line to print every few seconds."""

from __future__ import annotations

import math
import time

SECONDS_BETWEEN_LINES = 5.0


class Lines:
    """The progress lines of one piece of work: at its beginning, every few seconds, and at its end."""

    def __init__(self, work: str, done: float = 0) -> None:
        """Begin.

        Args:
            work: what the work is called.
            done: how much of it is done already, in the units of `line`.
        """
        self._work, self._before = work, done
        self._began = time.monotonic()
        self._last = -math.inf

    def line(self, done: float, total: float, amount: str) -> str | None:
        """A line such as "sampling: 12 of 40, 8 s left"; None if none is due.

        Args:
            done: how much of the work is done.
            total: how much there is.
            amount: both in words, such as "12 of 40".
        """
        now = time.monotonic()
        if done < total and now - self._last < SECONDS_BETWEEN_LINES:
            return None
        self._last = now
        return f"{self._work}: {amount}{self._left(done, total, now)}"

    def _left(self, done: float, total: float, now: float) -> str:
        if not self._before < done < total:
            return ""
        return f", {(now - self._began) / (done - self._before) * (total - done):.0f} s left"
