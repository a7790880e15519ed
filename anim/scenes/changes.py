"""How much x̂0 changes from step to step: what `--ease` gives time to.

The measure is the root mean square difference of what is shown, over all images of the run and their pixels: 0 for no
change, 1 for black turned white everywhere. It is cheap, has no parameter, and is the distance that a still background
or a shared shift of brightness adds to as much as the edge that an eye follows. So it cannot tell a change that means
something from one that does not, and a sampler that adds fresh noise keeps it up where nothing is decided any more.
A perceptual distance would need a network of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..pixels import Pixels
from ..runs.quantities import GUESS
from .views import View


def x0_changes(view: View, rows: Sequence[int]) -> list[float]:
    """The change of x̂0 from each of these rows to the next: one number less than rows, each between 0 and 1.

    Raises:
        TrajectoryError: a row is damaged.
    """
    return [_distance(earlier, later) for earlier, later in pairwise(view.pixels(GUESS, row) for row in rows)]


def _distance(earlier: Pixels, later: Pixels) -> float:
    return float(np.sqrt(np.mean((later.astype(np.float32) - earlier) ** 2))) / 255
