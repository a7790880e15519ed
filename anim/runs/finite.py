"""NaN and inf: a run that holds them stops, and keeps what was before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import SamplingError
from ..threads import on_each_image
from .step import Array


def demand_finite(named: Mapping[str, Array], number: int, total: int) -> None:
    """Look at images before they are kept.

    Args:
        named: batches of them, float32 [B, C, …], by what they are called in the message.
        number: of the step, counted from 1.
        total: how many steps there are to be.

    Raises:
        SamplingError: one holds NaN or inf.
    """
    finite = iter(on_each_image(_is_finite, named.values()))
    for what, images in named.items():
        if not all(next(finite) for _ in images):
            raise SamplingError(
                f"{what} holds NaN or inf at step {number} of {total}; what was captured before stays. "
                "Try --dtype float32, more steps or another scheduler"
            )


def _is_finite(images: Array) -> bool:
    # NaN and inf show in a sum, which is one pass and makes no array; that finite numbers add up to inf is not their
    # fault, and rare enough to look again.
    with np.errstate(all="ignore"):
        return bool(np.isfinite(images.sum()) or np.isfinite(images).all())
