"""One call of the sampler, as it was captured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Step:
    """The pair that an animation shows: a noisy sample, and the image that the model expects behind *that* sample.

    The sampler's state is a mixture ``x = signal · x0 + noise · ε`` of the finished image and standard normal noise
    (Kingma et al. 2021, "Variational Diffusion Models", eq. 1, writes α and σ).
    """

    index: int
    """Which call of ``scheduler.step``, counted from 0."""
    total: int
    """How many calls the run will have."""
    t: float
    """The timestep, in the scheduler's own units (usually 0…1000, falling)."""
    x: Array
    """float32 [B, C, …]: the sample *before* the step."""
    x0: Array
    """float32 [B, C, …]: the finished image as predicted from ``x``."""
    signal: float
    """a of ``x = a·x0 + b·ε``."""
    noise: float
    """b of ``x = a·x0 + b·ε``."""
