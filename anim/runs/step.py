"""One call of the sampler, as it was captured, and what its sample is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .run_info import Clipping

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Mixture:
    """What a sample is made of: ``x = signal·x0 + noise·ε``."""

    signal: float
    """a, dimensionless: 1 for variance-exploding schedules, falling to 0 with the noise for the others."""
    noise: float
    """b, dimensionless: up to 1 for variance-preserving and flow schedules, up to hundreds for exploding ones."""

    @classmethod
    def measured(cls, x: Array, x0: Array, noise: Array) -> Mixture:
        """The least-squares fit of a sample to an image and a noise that it should be made of.

        Args:
            x: float32 [B, C, …], the sample.
            x0: float32, of the same shape: the image.
            noise: float32, of the same shape, about unit variance. Noise that is in x beside it is counted too.
        """
        columns = np.stack([x0.ravel(), noise.ravel()], axis=1).astype(np.float64)
        (a, b), *_ = np.linalg.lstsq(columns, x.ravel().astype(np.float64), rcond=None)
        fresh = x.ravel() - columns @ (a, b)
        return cls(float(a), float(np.hypot(b, fresh.std())))


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


@runtime_checkable
class StepSink(Protocol):
    """What takes the steps of a run as they are captured: a recording's writer, or what stands in its place."""

    def note_clipping(self, clipped: Clipping, clip_range: float) -> None:
        """How x̂0 is clipped, and to ± what (`RunInfo`); called before the first step."""

    def add(self, step: Step, *, finite: bool = False, owned: bool = False) -> None:
        """The next step; whether it is known to hold no NaN, and whether nobody else has its memory."""

    def finish(
        self, sample: Array, image: Any = None, end: Mixture | None = None, *, finite: bool = False, owned: bool = False
    ) -> Any:
        """The last sample, float32 [B, C, …], what the pipeline made of it, and what it is made of."""

    def close(self) -> None:
        """Called in any case, at the end."""
