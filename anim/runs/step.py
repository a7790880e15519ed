"""One captured call of the sampler, and the mixture of its sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .run_info import Clipping

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Mixture:
    """How a sample mixes image and noise: ``x = signal·x0 + noise·ε``."""

    signal: float
    """a, dimensionless: 1 for variance-exploding schedules, falling to 0 with the noise for the others."""
    noise: float
    """b, dimensionless: up to 1 for variance-preserving and flow schedules, up to hundreds for exploding ones."""

    @classmethod
    def measured(cls, x: Array, x0: Array, noise: Array) -> Mixture:
        """Fit a sample, by least squares, as a mixture of an image and noise.

        Args:
            x: float32 [B, C, …], the sample.
            x0: float32 of the same shape, the image.
            noise: float32 of the same shape, about unit variance. Other noise in x is added to the result's noise.
        """
        columns = np.stack([x0.ravel(), noise.ravel()], axis=1).astype(np.float64)
        (a, b), *_ = np.linalg.lstsq(columns, x.ravel().astype(np.float64), rcond=None)
        fresh = x.ravel() - columns @ (a, b)
        return cls(float(a), float(np.hypot(b, fresh.std())))


@dataclass(frozen=True, eq=False)
class Step:
    """The pair that an animation shows: a noisy sample, and the image that the model predicts from *that* sample.

    The sampler's state is a mixture ``x = signal · x0 + noise · ε`` of the finished image and standard normal noise
    (Kingma et al. 2021, "Variational Diffusion Models", eq. 1, writes α and σ).
    """

    index: int
    """The number of the call of ``scheduler.step``, counted from 0."""
    total: int
    """The number of calls in the run."""
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
    kept: Mapping[str, Array] = field(default_factory=dict)
    """What is kept besides, by the names in `KEEPABLE`: float32 [B, C, …] each. For guidance, ``x0_uncond`` and
    ``x0_cond``: the images predicted without and with the condition, not clipped."""
    guidance: float | None = None
    """w of classifier-free guidance at this step, ``out = uncond + w·(cond − uncond)``, if that is kept."""


@runtime_checkable
class StepSink(Protocol):
    """Receives the steps of a run as they are captured: a recording's writer, or a replacement for it."""

    def note_clipping(self, clipped: Clipping, clip_range: float) -> None:
        """Learn how x̂0 is clipped, and to ± what (`RunInfo`); called before the first step."""

    def add(self, step: Step, *, finite: bool = False, owned: bool = False) -> None:
        """Take the next step; ``finite`` if it has no NaN or inf, ``owned`` if nobody else uses its memory."""

    def finish(
        self, sample: Array, image: Any = None, end: Mixture | None = None, *, finite: bool = False, owned: bool = False
    ) -> Any:
        """Take the last sample, float32 [B, C, …], the picture that the pipeline made from it, and its mixture."""

    def close(self) -> None:
        """Clean up; always called at the end."""
