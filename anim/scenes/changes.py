"""How much x̂0 changes from step to step, which decides how `--ease` shares out time.

The measure is the root mean square difference of the pixels shown, over all images of the run: 0 for no change, 1 if
all of black turns white. It is cheap and has no parameters. But it counts a shift of brightness over the background as
much as the edge that an eye follows, so it cannot tell which changes matter; and with a sampler that adds fresh noise
it stays high after the image is settled. A perceptual distance would need a network of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..pixels import Pixels
from ..runs.quantities import GUESS
from .views import PointsView, View


def x0_changes(view: View, rows: Sequence[int]) -> list[float]:
    """The change of x̂0 from each of these rows to the next: one number fewer than rows, each between 0 and 1.

    Raises:
        TrajectoryError: a row is damaged.
    """
    if isinstance(view, PointsView):
        guesses = view.points.guesses[list(rows)] / view.reach
        return [float(np.sqrt(np.mean((later - earlier) ** 2))) for earlier, later in pairwise(guesses)]
    return [_distance(earlier, later) for earlier, later in pairwise(view.pixels(GUESS, row) for row in rows)]


def _distance(earlier: Pixels, later: Pixels) -> float:
    return float(np.sqrt(np.mean((later.astype(np.float32) - earlier) ** 2))) / 255
