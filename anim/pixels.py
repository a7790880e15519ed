"""The one place where floats, usually in (−1, 1), become pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import OutputError

Pixels = NDArray[np.uint8]


def to_rgb(images: NDArray[np.floating], value_range: tuple[float, float] = (-1, 1)) -> Pixels:
    """Images as sRGB: ``round(255 · (x/2 + 1/2))``, what lies outside of (−1, 1) cut off.

    Computed in float32, and so the same bits as diffusers' ``numpy_to_pil((x / 2 + 0.5).clamp(0, 1))``.

    Args:
        images: floats [..., C, H, W]; C is 1 (grey) or 3 (red, green, blue).
        value_range: what black and white are in them, if not −1 and 1.

    Returns:
        uint8 [..., H, W, 3], contiguous.

    Raises:
        OutputError: there are no channels to show as colours.
    """
    channels = images.shape[-3] if images.ndim >= 3 else 0
    demand_colours(channels)
    black, white = value_range
    values = images.astype(np.float32)
    values /= np.float32(white - black)
    values -= np.float32(black / (white - black))
    np.clip(values, 0, 1, out=values)
    values *= 255
    np.rint(values, out=values)
    rgb = np.empty((*images.shape[:-3], *images.shape[-2:], 3), np.uint8)
    for colour in range(3):
        rgb[..., colour] = values[..., colour % channels, :, :]
    return rgb


def demand_colours(channels: int) -> None:
    """Only grey and RGB can be shown.

    Raises:
        OutputError: ``channels`` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise OutputError(
            f"images with {channels} channels cannot be shown: only 1 (grey) or 3 (RGB) can; "
            "latents must be decoded to pixels first"
        )
