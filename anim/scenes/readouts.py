"""The numbers of a row, for a picture: the timestep and the noise, with enough decimals to tell steps apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..runs.noising import levels, mixture_at, notation_of
from ..runs.trajectory import Trajectory
from .phrases import Maths, Number, Phrase


def noise_left_readout(run: Trajectory) -> Phrase:
    """The noise that the last sample still has."""
    left = mixture_at(run, run.steps).noise
    return Maths(f"{notation_of(run).noise} =", "noise"), Maths(f"{left:.{decimals_of_noise(run)}f}", "noise")


def last_time_readout(run: Trajectory) -> Phrase:
    """The timestep of the last step, as fixed text."""
    return Maths("t ="), Maths(f"{run.t[-1]:.{_decimals_of_time(run)}f}")


def time_readout(run: Trajectory) -> Phrase:
    """The timestep of a row."""
    return Maths("t ="), Number.of(_times(run), _decimals_of_time(run))


def noise_readout(run: Trajectory) -> Phrase:
    """The noise of a row, with the symbol that its kind of schedule uses."""
    return Maths(f"{notation_of(run).noise} =", "noise"), Number.of(levels(run)[1], decimals_of_noise(run), "noise")


def _times(run: Trajectory) -> NDArray[np.float64]:
    """The timestep of each row; NaN at the image of a forward process if t falls towards −∞, and so has no value."""
    if not run.is_forward:
        return run.t
    times = np.append(run.t, np.nan if run.info.last_t is None else run.info.last_t)
    if times[0] < 0 and times[0] == times[1]:
        times[0] = np.nan
    return times


def _decimals_of_time(run: Trajectory) -> int:
    """None for whole timesteps, else enough to tell steps apart: three where t runs from 1 to 0."""
    if np.array_equal(run.t, np.rint(run.t)):
        return 0
    return 3 if np.abs(run.t).max() <= 10 else 1


def decimals_of_noise(run: Trajectory) -> int:
    """Two, or three if two would show some noise as 0."""
    noise = run.noise if run.finished or run.end is None else np.append(run.noise, run.end.noise)
    positive = noise[noise > 0]
    return 3 if positive.size and positive.min() < 0.005 else 2
