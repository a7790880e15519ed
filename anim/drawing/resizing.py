"""Resizing images by a Lanczos filter, in less than half of the time that Pillow takes.

A filter is a matrix with a narrow band, so it is cut into blocks of rows, and each is multiplied with the pixels that
it needs. As in Pillow, values are cut off at black and white after each direction; unlike there, they are not rounded
in between. For pictures of ordinary shapes the difference is at most one level of 255, and 0.2 levels on average.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..pixels import Pixels

_LOBES = 3
"""Of the filter, on each side."""
_BLOCK = 16
"""Pixels that a product makes, in the direction of the filter."""
_LEAST_ACROSS = 64
"""Pixels that a product makes at least in the other direction; with fewer, Pillow is as fast."""
_LARGEST_PRODUCT = 1 << 18
"""Multiplications up to which OpenBLAS uses no threads of its own, which would wait for each other here."""


@dataclass(frozen=True, eq=False)
class _Block:
    """Some rows of a filter."""

    made: slice
    """The pixels that it makes."""
    needed: slice
    """The pixels that it needs."""
    weights: NDArray[np.float32]
    """[made, needed]."""


def resized(image: Pixels, width: int, height: int) -> Pixels:
    """An image [h, w, 3] as [height, width, 3], uint8, by a Lanczos filter.

    It averages over the source area of each pixel, so that fine detail does not become moiré.
    """
    down, across = _filter(image.shape[0], height), _filter(image.shape[1], width)
    needed = max(block.needed.stop - block.needed.start for block in (*down, *across))
    most = _LARGEST_PRODUCT // (_BLOCK * needed)
    if most < _LEAST_ACROSS:
        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
    rows, row = _even_pieces(image.shape[0], most)
    columns, column = _even_pieces(width, most)
    source = np.zeros((rows * row, image.shape[1]), np.float32)
    narrow = np.zeros((rows * row, columns * column), np.float32)
    small = np.empty((height, columns * column), np.float32)
    made = np.empty((height, width, 3), np.uint8)
    # Views of the same memory, cut into pieces in the direction that is not filtered.
    source_rows, narrow_rows = source.reshape(rows, row, -1), narrow.reshape(rows, row, -1)
    narrow_columns, small_columns = (each.reshape(-1, columns, column).swapaxes(0, 1) for each in (narrow, small))
    for colour in range(3):
        source[: len(image)] = image[..., colour]
        for block in across:
            np.matmul(source_rows[..., block.needed], block.weights.T, out=narrow_rows[..., block.made])
        np.clip(narrow, 0, 255, out=narrow)
        for block in down:
            np.matmul(block.weights, narrow_columns[:, block.needed], out=small_columns[:, block.made])
        small += 0.5
        np.clip(small, 0, 255, out=small)
        made[..., colour] = small[:, :width]
    return made


def _even_pieces(pixels: int, most: int) -> tuple[int, int]:
    """Into how many pieces pixels are cut, and how many pixels each has at most."""
    count = -(-pixels // most)
    return count, -(-pixels // count)


@functools.lru_cache(maxsize=64)
def _filter(source: int, target: int) -> tuple[_Block, ...]:
    """The filter from a number of pixels to another, as Pillow has it (``precompute_coeffs`` in its Resample.c)."""
    scale = source / target
    reach = _LOBES * max(scale, 1.0)
    blocks = []
    for start in range(0, target, _BLOCK):
        made = slice(start, min(start + _BLOCK, target))
        centres = (np.arange(made.start, made.stop) + 0.5) * scale
        needed = slice(max(math.floor(centres[0] - reach), 0), min(math.ceil(centres[-1] + reach), source))
        distances = (np.arange(needed.start, needed.stop) + 0.5 - centres[:, None]) * (_LOBES / reach)
        values = np.where(abs(distances) < _LOBES, np.sinc(distances) * np.sinc(distances / _LOBES), 0.0)
        blocks.append(_Block(made, needed, (values / values.sum(1, keepdims=True)).astype(np.float32)))
    return tuple(blocks)
