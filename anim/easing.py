"""How much x̂0 changes from step to step: what `--ease` gives time to.

The measure is the root mean square difference of what is shown, over all images of the run and their pixels: 0 for no
change, 1 for black turned white everywhere. It is cheap, has no parameter, and is the distance that a still background
or a shared shift of brightness adds to as much as the edge that an eye follows. So it cannot tell a change that means
something from one that does not, and a sampler that adds fresh noise keeps it up where nothing is decided any more.
A perceptual distance would need a network of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from .step import Array
from .trajectory import Trajectory


def x0_changes(run: Trajectory, rows: Sequence[int]) -> list[float]:
    """The change of x̂0 from each of these rows to the next: one number less than rows, each between 0 and 1.

    Raises:
        TrajectoryError: a row is damaged.
    """
    return [float(np.sqrt(np.mean((later - earlier) ** 2))) for earlier, later in pairwise(_shown(run, rows))]


def _shown(run: Trajectory, rows: Sequence[int]) -> Iterator[Array]:
    return (_visible(run, run.x[row] if row == run.steps else run.x0[row]) for row in rows)


def _visible(run: Trajectory, images: Array) -> Array:
    """From 0 for black to 1 for white: nobody sees what lies beyond."""
    black, white = run.info.value_range
    return np.asarray(np.clip((images - np.float32(black)) / np.float32(white - black), 0, 1))
