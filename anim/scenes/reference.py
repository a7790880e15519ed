"""How far runs are from a reference run, such as the same one with many more steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingsError
from ..runs.noising import log_snr
from ..runs.trajectory import Trajectory
from .phrases import Number, Phrase, Words

_DECIMALS = 3


def distances(run: Trajectory, reference: Trajectory) -> NDArray[np.float64]:
    """The root mean square distance of x̂0 to that of a reference run at the same noise level, over all images.

    Black is −1 and white 1; latents are in their own units. The step of the reference is the one
    whose log-SNR is nearest; of its steps at one level, the last. Finished images are compared with each other.

    Args:
        run: with at least one step.
        reference: of images of the same shape, complete if the run is.

    Returns:
        float64 [rows], one for each row of the run's ``x``.

    Raises:
        SettingsError: the shapes differ, or the reference is interrupted.
        TrajectoryError: a row is damaged.
    """
    _demand_alike(run, reference)
    rows = _nearest(log_snr(run.signal, run.noise), log_snr(reference.signal, reference.noise))
    pairs = ((run.x0[row], reference.x0[other]) for row, other in enumerate(rows))
    found = [_distance(one, other) for one, other in pairs]
    rows_found = np.array([*found, *([_distance(run.x[-1], reference.x[-1])] if run.complete else [])])
    return rows_found * _unit(run)


def last_distance(run: Trajectory, reference: Trajectory) -> float:
    """The last of these distances, that of the finished images, without reading others.

    Args:
        run: complete.
        reference: as for `distances`.

    Raises:
        SettingsError: as for `distances`.
        TrajectoryError: a last sample is damaged.
    """
    _demand_alike(run, reference)
    return _distance(run.x[-1], reference.x[-1]) * _unit(run)


def distance_phrase(found: NDArray[np.float64]) -> Phrase:
    """The distances of a run as a changing number."""
    return Words("off by"), Number.of(found.tolist(), _DECIMALS, upright=True)


def reference_words(name: str) -> tuple[str, ...]:
    """What the distances are, the longest wording first."""
    return (
        f"off by: RMS distance of x̂0 to that of {name} at the same noise level",
        f"off by: RMS distance to x̂0 of {name}",
        f"off by: distance to {name}",
    )


def _nearest(levels: NDArray[np.float64], among: NDArray[np.float64]) -> Sequence[int]:
    """For each level the row of the nearest one; infinite levels are nearest to themselves."""
    bounded = np.clip(among, *_BOUNDS)
    last_first = bounded[::-1]
    return [len(among) - 1 - int(np.argmin(np.abs(last_first - level))) for level in np.clip(levels, *_BOUNDS)]


_BOUNDS = (-60.0, 60.0)
"""No noise of a recording is weaker or stronger in float32."""


def _demand_alike(run: Trajectory, reference: Trajectory) -> None:
    if run.x.shape[1:] != reference.x.shape[1:]:
        own, other = list(run.x.shape[1:]), list(reference.x.shape[1:])
        raise SettingsError(f"the reference's images are {other}, unlike the run's, {own}; name another reference")
    if not reference.complete:
        raise SettingsError(f"the reference was interrupted after step {reference.steps}; record it again")


def _unit(run: Trajectory) -> float:
    """What makes black −1 and white 1."""
    black, white = run.info.value_range
    return 2 / (white - black)


def _distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean((one.astype(np.float64) - other) ** 2)))
