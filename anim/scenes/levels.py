"""The noise levels of runs on one axis, which makes runs of any schedules comparable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..runs.noising import log_snr
from ..runs.trajectory import Trajectory

_WIDEST = 12.0
"""Levels are shown up to ± this: beyond it, noise or signal is far below what a picture can show."""


def on_one_axis(runs: Sequence[Trajectory]) -> list[NDArray[np.float64]]:
    """The position of each step of each run, from 0 at the most noise of any run to 1 at the least."""
    levels = [np.clip(log_snr(run.signal, run.noise), -_WIDEST, _WIDEST) for run in runs]
    low, high = min(map(np.min, levels)), max(map(np.max, levels))
    return [np.asarray((own - low) / max(high - low, 1e-12)) for own in levels]
