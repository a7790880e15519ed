"""The plane in which a run's samples vary most: that of their first two principal components."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .quantities import GUESS, SAMPLE
from .step import Array
from .trajectory import Trajectory

_MOST_BYTES = 1 << 28
_AT_ONCE = 1 << 14
"""Values of each sample that are multiplied at once, in double precision."""
_NOTHING = 1e-12
"""A part of the variance that is rounding."""


@dataclass(frozen=True, eq=False)
class Paths:
    """The paths of a run's images in its plane."""

    x: NDArray[np.float64]
    """[rows, B, 2]: x_t of each image at each row, at unit variance if the samples of the run explode."""
    x0: NDArray[np.float64]
    """[rows, B, 2]: x̂0, and at the finished image that image."""
    explained: float
    """The part of the variance of x_t that is in the plane, 0 to 1."""


def principal_paths(run: Trajectory, *, most_bytes: int = _MOST_BYTES) -> Paths:
    """Fit the plane to x_t of all images at all rows, and project x_t and x̂0 onto it.

    The samples of one image are almost in a plane: Wang & Vastola 2023, arXiv:2303.02490; Chen et al. 2025,
    arXiv:2506.10177. Images that begin with different noise share none, so the more images, the less of the variance is
    in one plane.

    The components follow from the inner products of all samples, as a run has far fewer samples than a sample has
    values. They are summed block by block, so that a run of any size needs little memory.

    Args:
        run: has at least one step.
        most_bytes: of samples, held at once. A run with more is read more than once.

    Raises:
        TrajectoryError: a row is damaged.
    """
    rows, batch, size = len(run.x), run.x.shape[1], int(np.prod(run.x.shape[2:]))
    a_block = max(most_bytes // 2 // (4 * batch * size), 1)
    blocks = -(-rows // a_block)

    @functools.lru_cache(maxsize=2)
    def block(number: int) -> Array:
        """[samples, values]"""
        held = range(number * a_block, min((number + 1) * a_block, rows))
        values = np.empty((len(held), batch, size), np.float32)
        for index, row in enumerate(held):
            values[index] = SAMPLE.values(run, row).reshape(batch, size)
        return values.reshape(-1, size)

    products = _products(block, blocks)
    weights, explained = _components(products)
    weights *= _directions((products @ weights).reshape(rows, batch, 2))
    plane = np.zeros((size, 2))
    for number in reversed(range(blocks)):
        plane += block(number).T @ weights[number * a_block * batch :][: len(block(number))].astype(np.float32)
    middle = products.mean(0) @ weights
    shown = (GUESS.at(run, row) for row in range(rows))
    guesses = [quantity.values(run, row).reshape(batch, size) @ plane for quantity, row in shown]
    return Paths((products @ weights - middle).reshape(rows, batch, 2), np.array(guesses) - middle, explained)


def _products(block: Callable[[int], Array], blocks: int) -> NDArray[np.float64]:
    """The inner products of all samples with each other: [samples, samples]."""
    parts = [[_multiplied(block(one), block(other)) for other in range(one + 1)] for one in range(blocks)]
    for one in range(blocks):
        parts[one] += [parts[other][one].T for other in range(one + 1, blocks)]
    return np.block(parts)


def _multiplied(one: Array, other: Array) -> NDArray[np.float64]:
    total = np.zeros((len(one), len(other)))
    for start in range(0, one.shape[1], _AT_ONCE):
        left, right = (values[:, start : start + _AT_ONCE].astype(np.float64) for values in (one, other))
        total += left @ right.T
    return total


def _components(products: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The weights [samples, 2] with which samples add up to two directions of length 1, and the variance explained."""
    mean = products.mean(0)
    variances, vectors = np.linalg.eigh(products - mean - mean[:, None] + mean.mean())
    variances, vectors = np.maximum(variances[::-1], 0), vectors[:, ::-1]
    weights = np.zeros((len(products), 2))
    for index, variance in enumerate(variances[:2]):
        # Along a component without variance there is no direction to find, only rounding.
        if variance > _NOTHING * np.trace(products):
            weights[:, index] = vectors[:, index] / np.sqrt(variance)
    whole = variances.sum()
    return weights, float(variances[:2].sum() / whole) if whole > 0 else 1.0


def _directions(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sign of each component with which a run goes from left to right and bends upwards; ``x`` is [rows, B, 2]."""
    path = x.mean(1)
    across, bend = path[-1, 0] - path[0, 0], path[len(path) // 2, 1] - path[[0, -1], 1].mean()
    return np.where(np.array([across, bend]) < 0, -1.0, 1.0)
