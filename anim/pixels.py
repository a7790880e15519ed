"""The one place where floats, usually in (−1, 1), become pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import OutputError

Pixels = NDArray[np.uint8]
COLOURS = {1: "", 2: "first of 2 channels", 3: "", 4: "RGBA on white"}
"""How so many channels become colours, in words where that is not plain."""


def to_rgb(images: NDArray[np.floating], value_range: tuple[float, float] = (-1, 1)) -> Pixels:
    """Images as sRGB: ``round(255 · (x/2 + 1/2))``, what lies outside of (−1, 1) cut off.

    Computed in float32, and so the same bits as diffusers' ``numpy_to_pil((x / 2 + 0.5).clamp(0, 1))``.

    Args:
        images: floats [..., C, H, W]; C is a number of `COLOURS`.
        value_range: what black and white are in them, if not −1 and 1.

    Returns:
        uint8 [..., H, W, 3], contiguous.

    Raises:
        OutputError: there are no channels to show as colours.
    """
    channels = images.shape[-3] if images.ndim >= 3 else 0
    demand_colours(channels)
    drawn = {2: 1, 4: 3}.get(channels, channels)
    black, white = value_range
    values = images.astype(np.float32)
    values /= np.float32(white - black)
    values -= np.float32(black / (white - black))
    np.clip(values, 0, 1, out=values)
    if channels == 4:
        values[..., :3, :, :] = over_white(values[..., :3, :, :], values[..., 3:, :, :])
    values *= 255
    np.rint(values, out=values)
    rgb = np.empty((*images.shape[:-3], *images.shape[-2:], 3), np.uint8)
    for colour in range(3):
        rgb[..., colour] = values[..., colour % drawn, :, :]
    return rgb


def over_white(colours: NDArray[np.float32], opacity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours of some opacity on a white ground; all between 0 and 1."""
    return colours * opacity + (1 - opacity)


def demand_colours(channels: int) -> None:
    """Find out whether images of so many channels can be shown.

    Raises:
        OutputError: they cannot.
    """
    if channels not in COLOURS:
        raise OutputError(
            f"images with {channels} channels cannot be shown: 1 (grey), 2 (the first as grey), 3 (RGB) and 4 (RGBA) "
            "can; latents must be decoded to pixels first"
        )
