"""Times as whole numbers of a format's unit, without drift."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ticks(seconds: Sequence[float], rate: float, least: int = 1) -> list[int]:
    """How long each frame is shown, in units of which a second has ``rate``; no frame for less than ``least``.

    Every frame ends at the unit nearest to its time, so rounding does not add up.
    """
    result: list[int] = []
    shown, elapsed = 0, 0.0
    for duration in seconds:
        elapsed += duration
        result.append(max(least, math.floor(round(elapsed * rate, 6) + 0.5) - shown))
        shown += result[-1]
    return result
