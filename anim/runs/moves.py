"""What a step of the sampler did: from a sample to the next, and how much of that is fresh noise.

Samples of exploding schedules are compared as they are shown, at unit variance; the difference between σ = 80 and
σ = 60 would hide everything else. All others are compared as they are.
"""

from __future__ import annotations

import numpy as np

from .noising import natural
from .quantities import SAMPLE, Quantity, scale_for
from .step import Array
from .trajectory import Trajectory


def _step(run: Trajectory, row: int) -> Array:
    return SAMPLE.values(run, row + 1) - SAMPLE.values(run, row)


def _fresh(run: Trajectory, row: int) -> Array:
    later = run.x[row + 1]
    return natural(run, later, row + 1) - natural(run, _explained(run, row), row + 1)


def _explained(run: Trajectory, row: int) -> Array:
    """The next sample as far as x̂0 and ε̂ explain it: its least squares fit by them, image by image.

    x_t stands in for ε̂: with x̂0 it spans the same plane, and it has no division by a small noise.
    """
    x, x0, later = run.x[row], run.x0[row], run.x[row + 1]
    explained = np.empty_like(later)
    for image in range(len(later)):
        known = np.stack([x0[image].ravel(), x[image].ravel()]).astype(np.float64)
        weights = np.linalg.lstsq(known @ known.T, known @ later[image].ravel(), rcond=None)[0]
        explained[image] = (weights @ known).reshape(later[image].shape)
    return explained


STEP: Quantity = Quantity("step", "field", _step, of="move", of_sampler=True, scale=lambda run: scale_for(run, STEP))
"""x_{t−1} − x_t, at unit variance if samples explode."""
FRESH = Quantity("step:noise", "field", _fresh, of="move", of_sampler=True, scale=lambda run: STEP.scale_in(run))
"""x_{t−1} − μ_t, what x̂0 and ε̂ do not explain of the next sample, drawn as `STEP` is.

If a scheduler adds noise to a mixture of the two, this is that noise (Ho et al. 2020, DDPM, alg. 2; Song et al. 2021,
DDIM, eq. 12; "ancestral" samplers), less the share of it that lies in their plane: 2 of its C·H·W dimensions. If it
combines several predictions, their difference is here, too.
"""
DRIFT = Quantity(
    "step:drift",
    "field",
    lambda run, row: _step(run, row) - _fresh(run, row),
    of="move",
    of_sampler=True,
    scale=lambda run: STEP.scale_in(run),
)
"""μ_t − x_t, the rest of the step, where μ_t is the best mixture of x̂0 and ε̂ for the next sample."""
