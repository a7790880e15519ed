"""The schedule of a run as curves: the signal and noise in its samples, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..runs.noising import notation_of, rescaled
from ..runs.step import Mixture
from ..runs.trajectory import Trajectory
from .phrases import Ink


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of the schedule strip."""

    heights: NDArray[np.float64]
    """[points], 0 at the bottom and 1 at the top; point i belongs to row i of the run."""
    symbol: str
    """TeX."""
    word: str
    ink: Ink


def curves(run: Trajectory) -> tuple[Curve, ...]:
    """The schedule: a point for each recorded step, and one for the last sample if the run is complete.

    These are signal and noise if both stay between 0 and 1. Where samples explode, the signal is always 1 and the
    noise spans decades, so it is the only curve, on a log scale.
    """
    notation = notation_of(run)
    if rescaled(run):
        return (Curve(_log_heights(run), notation.noise, "noise, log scale", "noise"),)
    signal, noise = _with_end(run)
    top = max(signal.max(), noise.max())
    return (
        Curve(signal / top, notation.signal, "signal", "signal"),
        Curve(noise / top, notation.noise, "noise", "noise"),
    )


def _log_heights(run: Trajectory) -> NDArray[np.float64]:
    """From 1 at the most noise to 0 at the least, or at a finished image, whose logarithm may be −∞.

    If a run ends with noise left, 0 stands for noise too weak to see, so its curve does not reach 0.
    """
    _, noise = _with_end(run)
    least = noise[noise > 0].min()
    if run.end is not None and not run.finished and not run.is_forward:
        least = min(least, run.invisible_noise)
    low, high = np.log(least), np.log(noise.max())
    logs = np.log(np.maximum(noise, least))
    return np.asarray((logs - low) / max(high - low, 1e-12))


def _with_end(run: Trajectory) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if run.end is None:
        return run.signal, run.noise
    end = Mixture(1.0, 0.0) if run.finished else run.end
    return np.append(run.signal, end.signal), np.append(run.noise, end.noise)
