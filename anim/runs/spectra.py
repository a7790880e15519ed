"""Power spectra of images: how much of their variance is at which spatial frequency."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

FEWEST_PIXELS = 4
"""On each side, for at least two frequencies."""
_OVERFLOWS = 1e12
"""Values whose squares, summed over an image, may be too large for float32."""


def radial_power(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """The power spectrum of images, averaged over directions and over the images.

    Power is |DFT|² / (H·W), averaged over rings of integer radius. So white noise of variance v has power v at every
    frequency, whatever the size, and a spectrum can be compared with a variance. Without a window, as usual for
    diffusion: Dieleman 2024, "Diffusion is spectral autoregression"; Rissanen, Heinonen & Solin 2022, "Generative
    modelling with inverse heat dissipation". The edges of an image that does not repeat add a little power, mostly
    along both axes.

    Args:
        images: float [n, H, W], both at least `FEWEST_PIXELS`.

    Returns:
        [min(H, W) // 2]: the power at 1, 2, … cycles per shorter side. The mean of an image (0 cycles) is left out, and
        so are the corners of the spectrum beyond the highest frequency of the shorter side.
    """
    height, width = images.shape[-2:]
    rings, weights, counts = _rings(height, width)
    if np.abs(images).max() > _OVERFLOWS:
        images = images.astype(np.float64)
    waves = np.fft.rfft2(images)
    power = (waves.real**2 + waves.imag**2).mean(0, dtype=np.float64) / (height * width)
    sums = np.bincount(rings.ravel(), (power * weights).ravel(), minlength=len(counts))
    return np.asarray(sums[1 : len(counts)] / counts[1:])


@functools.lru_cache(maxsize=4)
def _rings(height: int, width: int) -> tuple[NDArray[np.integer], NDArray[np.float64], NDArray[np.float64]]:
    """The ring of each coefficient of `rfft2`, how many of the whole DFT each stands for, and how many are in a ring.

    The ring is its distance from 0 in cycles per shorter side; whatever is further out shares a last one, not counted.
    """
    shorter = min(height, width)
    down, across = np.fft.fftfreq(height) * shorter, np.fft.rfftfreq(width) * shorter
    rings = np.minimum(np.rint(np.hypot(down[:, None], across)).astype(np.intp), shorter // 2 + 1)
    weights = np.full(rings.shape, 2.0)
    weights[:, 0] = 1
    if width % 2 == 0:
        weights[:, -1] = 1
    counts = np.bincount(rings.ravel(), weights.ravel())[: shorter // 2 + 1]
    return rings, weights, counts.astype(np.float64)
