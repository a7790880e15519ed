"""Timing things in turn, for the benchmarks of sampling and recording."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch


def timed(runs: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """The times of each run in seconds, by round.

    Every second round runs in reverse order, so that a machine whose speed drifts favours neither side.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    gc.collect()
    gc.freeze()  # Exclude imported objects from collections, as a GPU slows down while it waits for them.
    for number in range(rounds):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            gc.collect()
            gc.disable()  # As timeit does: a collection takes as long as the differences measured here.
            start = time.perf_counter()
            kept = runs[name]()
            seconds[name].append(time.perf_counter() - start)
            gc.enable()
            del kept  # Freeing memory takes time, too, which is not part of the run.
    return seconds


def compare(
    base: Callable[[], None], other: Callable[[], None], pairs: int, names: tuple[str, str] = ("bare", "recorded")
) -> None:
    """Print the medians of both, and the median of their ratios over pairs."""
    seconds = timed(dict(zip(names, (base, other), strict=True)), pairs)
    ratios = [ours / theirs for theirs, ours in zip(*seconds.values(), strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    for name, times in seconds.items():
        print(f"{name:<9} {statistics.median(times):8.3f} s (median of {pairs}, least {min(times):.3f})")
    print(f"ratio     {middle:8.4f}   (half of the pairs: {low:.4f} to {high:.4f})")


def synchronize(device: torch.device) -> None:
    """Wait for all work on a device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def name_of(device: torch.device) -> str:
    """The card's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
