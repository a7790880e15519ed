"""How far the guesses of a run are from an image: its own finished one, or that of another run."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .step import Array


def rms_distances(guesses: Iterable[Array], images: Array) -> NDArray[np.float64]:
    """The root mean square distance of each guess to an image.

    Args:
        guesses: a row for each step, such as ``run.x0``: float32 [B, …].
        images: what they are compared with, such as ``run.x[-1]``, of the run itself or of another: float32 [B, …].

    Returns:
        [steps, B], in the units of the values.
    """
    wanted = images.reshape(len(images), -1).astype(np.float64)
    off = (row.reshape(wanted.shape) - wanted for row in guesses)
    return np.stack([np.sqrt(np.einsum("bi,bi->b", each, each) / wanted.shape[1]) for each in off])
