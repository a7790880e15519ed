"""NaN and inf: a run that produces them stops, and keeps the steps before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import SamplingError
from ..threads import on_each_image
from .step import Array


def demand_finite(named: Mapping[str, Array], number: int, total: int) -> None:
    """Check images before they are stored.

    Args:
        named: batches of images, float32 [B, C, …], by their name in the message.
        number: of the step, counted from 1.
        total: the number of steps in the run.

    Raises:
        SamplingError: an image contains NaN or inf.
    """
    finite = iter(on_each_image(_is_finite, named.values()))
    for what, images in named.items():
        if not all(next(finite) for _ in images):
            raise SamplingError(
                f"{what} contains NaN or inf at step {number} of {total}; the steps before are kept. "
                "Try --dtype float32, more steps or another scheduler"
            )


def _is_finite(images: Array) -> bool:
    # NaN and inf show in a sum, which takes one pass and no extra array. Finite numbers can add up to inf too, which is
    # rare enough to check again.
    with np.errstate(all="ignore"):
        return bool(np.isfinite(images.sum()) or np.isfinite(images).all())
