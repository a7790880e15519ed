"""Rounding times to a format's unit, without drift."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ticks(seconds: Sequence[float], rate: float, least: int = 1) -> list[int]:
    """How long each frame is shown, in units of 1/``rate`` seconds, at least ``least`` units each.

    Each frame ends at the unit nearest to its time, so rounding errors do not add up.
    """
    result: list[int] = []
    shown, elapsed = 0, 0.0
    for duration in seconds:
        elapsed += duration
        result.append(max(least, math.floor(round(elapsed * rate, 6) + 0.5) - shown))
        shown += result[-1]
    return result
