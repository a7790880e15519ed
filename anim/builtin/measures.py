"""Measures of the quality of samples and runs, relative to the training pictures or to the end of the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
"""Images [N, C, H, W] in (−1, 1)."""
NEAR_COPY = 0.1
"""A sample whose RMSE to a training picture, over (−1, 1), is at most this looks the same."""
_GROUND = 2
"""Pixels of a corner's side. No training picture reaches into its corners."""


def nearest(samples: Floats, pictures: Floats) -> tuple[NDArray[np.int64], Floats]:
    """For each sample the position of the training picture with the smallest RMSE, and that RMSE: [N], [N]."""
    flat = [torch.from_numpy(np.ascontiguousarray(images)).flatten(1) for images in (samples, pictures)]
    distances = torch.cdist(flat[0], flat[1]) / flat[0].shape[1] ** 0.5
    closest, positions = distances.min(dim=1)
    return positions.numpy(), closest.numpy()


def hits(found: Sequence[int] | NDArray[np.int64], asked: Sequence[int] | NDArray[np.int64]) -> float:
    """The share of equal classes, 0 to 1."""
    return float(np.mean(np.asarray(found) == np.asarray(asked)))


def distinct(positions: Sequence[int] | NDArray[np.int64]) -> float:
    """The share of different values, 0 to 1."""
    return len(set(np.asarray(positions).tolist())) / len(positions)


def white_ground(samples: Floats, tolerance: float = 8.0) -> float:
    """The share of samples whose four corners are white, within ``tolerance`` of 255 levels."""
    ends = [slice(None, _GROUND), slice(-_GROUND, None)]
    corners = np.stack([samples[:, :, rows, columns] for rows in ends for columns in ends])
    darkest = corners.min(axis=(0, 2, 3, 4))
    return float(np.mean(darkest >= 1 - tolerance / 127.5))


def distance(images: Floats, other: Floats) -> Floats:
    """RMSE of each image [..., C, H, W] to ``other``: [...]."""
    root: Floats = np.sqrt(np.mean((images - other) ** 2, axis=(-3, -2, -1)))
    return root


def sharpness(images: Floats) -> Floats:
    """Mean absolute difference of neighbouring pixels of each image [..., C, H, W]: [...]."""
    across, down = (np.abs(np.diff(images, axis=axis)).mean(axis=(-3, -2, -1)) for axis in (-1, -2))
    total: Floats = across + down
    return total


def largest_fall(values: Sequence[float] | Floats) -> float:
    """The largest fall of a series below its earlier maximum, relative to its end; 0 if it never falls."""
    series = np.asarray(values, dtype=np.float64)
    return float(np.max(np.maximum.accumulate(series) - series) / series[-1])


def contrast(x0: Floats, pictures: Floats) -> float:
    """The largest distance of a guess x̂0 from the mean of the pictures, relative to the farthest picture's.

    Above 1 for a flash of saturated noise or colour, which is farther away than any picture.
    """
    mean = pictures.mean(axis=0)
    return float(distance(x0, mean).max() / distance(pictures, mean).max())


def outside(x0: Floats, limit: float = 1.1) -> float:
    """The largest share of values of a guess x̂0 [..., C, H, W] that are outside ±``limit``, as in no picture."""
    return float(np.mean(np.abs(x0) > limit, axis=(-3, -2, -1)).max())
