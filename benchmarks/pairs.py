"""Two things timed in turn, and the ratio: what the benchmarks of recording share."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def compare(bare: Callable[[], None], recorded: Callable[[], None], pairs: int) -> None:
    """Print the medians of both, and of their ratio pair by pair.

    Which comes first alternates, so that neither a machine whose speed drifts nor one that tires favours a side.
    """
    seconds: dict[str, list[float]] = {"bare": [], "recorded": []}
    for pair in range(pairs):
        sides = [("bare", bare), ("recorded", recorded)]
        for name, run in sides if pair % 2 == 0 else reversed(sides):
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    ratios = [ours / theirs for ours, theirs in zip(seconds["recorded"], seconds["bare"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    for name, times in seconds.items():
        print(f"{name:<9} {statistics.median(times):8.3f} s (median of {pairs}, least {min(times):.3f})")
    print(f"ratio     {middle:8.4f}   (half of the pairs: {low:.4f} to {high:.4f})")
