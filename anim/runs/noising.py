r"""How a run mixes image and noise, and the notation for it.

Every sampler's state is ``x = a·x0 + b·ε``. Each community has its own notation for a and b:

====================  ==================  ==========  ==============  =================================================
a run with            is                  a           b               source
====================  ==================  ==========  ==============  =================================================
a² + b² = 1           variance-preserving  √ᾱ_t       √(1 − ᾱ_t)      Ho et al. 2020, DDPM, eq. 4
a = 1                 variance-exploding   1          σ_t             Song et al. 2021, Score SDE; Karras et al. 2022
a + b = 1             flow                 1 − σ_t    σ_t             Lipman et al. 2023; Esser et al. 2024, SD3, eq. 13
anything else         general              α_t        σ_t             Kingma et al. 2021, VDM, eq. 1
====================  ==================  ==========  ==============  =================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .step import Array, Mixture
from .trajectory import Trajectory

_TOLERANCE = 5e-3
_RAW_LIMIT = 1.5
"""Samples with a² + b² above this do not fit into (−1, 1) and are shown at unit variance."""


@dataclass(frozen=True)
class Notation:
    """TeX for the two coefficients."""

    name: str
    signal: str
    noise: str
    scale: str
    """√(a² + b²), the divisor that gives a sample unit variance."""


PRESERVING = Notation("variance-preserving", r"\sqrt{\bar{\alpha}_t}", r"\sqrt{1-\bar{\alpha}_t}", "1")
EXPLODING = Notation("variance-exploding", "1", r"\sigma_t", r"\sqrt{1+\sigma_t^2}")
FLOW = Notation("flow", r"1-\sigma_t", r"\sigma_t", r"\sqrt{(1-\sigma_t)^2+\sigma_t^2}")
GENERAL = Notation("general", r"\alpha_t", r"\sigma_t", r"\sqrt{\alpha_t^2+\sigma_t^2}")


def notation_of(run: Trajectory) -> Notation:
    """The usual notation for the run's a and b."""
    a, b = levels(run)
    if np.allclose(a**2 + b**2, 1, atol=_TOLERANCE):
        return PRESERVING
    if np.allclose(a, 1, atol=_TOLERANCE):
        return EXPLODING
    if np.allclose(a + b, 1, atol=_TOLERANCE):
        return FLOW
    return GENERAL


def log_snr(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """λ = log(a²/b²), the logarithm of the signal-to-noise ratio (Kingma et al. 2021, VDM, eq. 2), of each mixture.

    It does not depend on how samples are scaled, so it is the same for a noise level of any schedule. It is ∞ without
    noise, and −∞ without signal.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = 2 * (np.log(np.abs(signal)) - np.log(np.abs(noise)))
    return np.where(noise == 0, np.inf, levels)


def natural(run: Trajectory, images: Array, row: int) -> Array:
    """Samples of a row as they are shown: divided by √(a² + b²) if the run's samples explode, otherwise unchanged.

    If black and white are not −1 and 1, noise is measured in halves of their range, and samples shrink towards its
    middle. A last sample without noise is never scaled.

    Args:
        run: the run.
        images: float32 [B, C, H, W], ``run.x[row]``.
        row: counted from 0.
    """
    if not rescaled(run) or (row == run.steps and run.finished):
        return images
    black, white = run.info.value_range
    mixture = mixture_at(run, row)
    scale = np.float32(np.hypot(mixture.signal, mixture.noise * 2 / (white - black)))
    middle = np.float32((black + white) / 2)
    return np.asarray(middle + (images - middle) / scale)


def mixture_at(run: Trajectory, row: int) -> Mixture:
    """The mixture of a row's sample; the row after the last step is the last sample."""
    if row < run.steps:
        return Mixture(float(run.signal[row]), float(run.noise[row]))
    assert run.end is not None, "a run has that row only if it is complete"
    return run.end


def rescaled(run: Trajectory) -> bool:
    """Whether the run's samples exceed the range of its images so far that they are shown at unit variance."""
    signal, noise = levels(run)
    return bool((signal**2 + noise**2 > _RAW_LIMIT).any())


def levels(run: Trajectory) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Signal and noise of the steps, and of a forward process' last sample, which is its noisiest."""
    if not run.is_forward or run.end is None:
        return run.signal, run.noise
    return np.append(run.signal, run.end.signal), np.append(run.noise, run.end.noise)
