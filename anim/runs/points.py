"""Points in the plane: the data of a points model, and what follows from them in closed form.

If the data are points y_i, each as likely, then noise makes of them a mixture of Gaussians, q(x_t) = mean of
N(a·y_i, b²), and the best guess of the point behind x_t is their mean weighted by how likely each is:
x̂0 = E[x_0 | x_t] = Σ w_i·y_i with w_i ∝ exp(−|x_t − a·y_i|² / 2b²) (Karras et al. 2022, EDM, eq. 57). So the field and
the density at any place and any noise level follow from the data alone, without the model that made a run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from .trajectory import Trajectory

Places = NDArray[np.float64]
_BLOCK = 2**20
"""Pairs of a place and a data point whose distances are in memory at once."""
_SMALLEST_LOGARITHM = -100.0
"""Of a weight; a smaller one is 0 in float32."""
_FURTHEST = 1e30
"""Coordinates of data that are refused, as squares of larger ones have no number."""
_LEAST_NOISE = 1e-6
"""Below this, a place belongs to the nearest point alone."""


@dataclass(frozen=True, eq=False)
class Points:
    """The data of a points model.

    Raises:
        ValueError: they are not finite points in the plane, or a class has none.
    """

    places: Places
    """[M, 2]."""
    classes: NDArray[np.intp] | None = None
    """[M]: the number of the class of each, from 0; None without classes."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        if self.places.ndim != 2 or self.places.shape[1] != 2 or not len(self.places):
            raise ValueError(f"points are {list(self.places.shape)}, not [points, 2]")
        if not np.isfinite(self.places).all():
            raise ValueError("a point has a coordinate that is not a number")
        if self.classes is not None and self.classes.shape != self.places.shape[:1]:
            raise ValueError(f"classes are {list(self.classes.shape)}, not {[len(self.places)]}")

    @classmethod
    def of(cls, run: Trajectory) -> Points | None:
        """The data of a run whose model is the ideal denoiser of points in the plane; None if it keeps none.

        Raises:
            OutputError: they are too far out.
        """
        data = run.info.ideal
        if data is None or not data.points:
            return None
        places = np.array(data.points, np.float64)
        if np.abs(places).max() > _FURTHEST:
            raise OutputError(f"the run's data have coordinates beyond {_FURTHEST:g}, which cannot be shown")
        return cls(places, np.array(data.classes, np.intp) if data.classes else None)

    def of_class(self, number: int) -> Points:
        """Those of one class.

        Raises:
            ValueError: there are none.
        """
        if self.classes is None:
            raise ValueError("the points have no classes")
        return Points(self.places[self.classes == number])

    def guesses(self, places: Places, signal: float, noise: float) -> Places:
        """x̂0 = E[x_0 | x_t] at places.

        Args:
            places: x_t, [n, 2].
            signal: a.
            noise: b; if it is 0, x̂0 is the nearest point.

        Returns:
            float64 [n, 2].
        """
        found = np.empty((len(places), 2))
        data = self.places
        rows = max(_BLOCK // len(data), 1)
        for first in range(0, len(places), rows):
            block = slice(first, first + rows)
            # |x − a·y|² less |x|², which all weights of a place share.
            closeness = places[block] @ data.T * signal - signal**2 * (data**2).sum(1) / 2
            closeness -= closeness.max(1, keepdims=True)
            closeness /= max(noise, _LEAST_NOISE) ** 2
            weights = np.exp(np.maximum(closeness, _SMALLEST_LOGARITHM).astype(np.float32))
            found[block] = (weights @ data.astype(np.float32)) / weights.sum(1, keepdims=True)
        return found

    def density(self, across: Places, down: Places, signal: float, noise: float) -> Places:
        """How much of q(x_t) is in each cell of a grid, as a density: its mean over the cell.

        A Gaussian in the plane is one along each axis, so the sum over the data is a product of two matrices.

        Args:
            across: [w + 1], the edges of the grid's columns.
            down: [h + 1], the edges of its rows.
            signal: a.
            noise: b.

        Returns:
            float64 [h, w]; its sum over the cells, times their area, is what is within the grid.
        """
        noise = max(noise, _LEAST_NOISE)
        along = [
            np.diff(normal_below((edges[:, None] - signal * self.places[:, axis]) / noise), axis=0)
            for axis, edges in enumerate((across, down))
        ]
        cells = np.diff(down)[:, None] * np.diff(across)
        return np.asarray(along[1] @ along[0].T / len(self.places) / cells)


def normal_below(values: Places) -> Places:
    """The part of N(0, 1) below values, to 1e-7 (Abramowitz & Stegun 1964, 7.1.26), as NumPy has no error function."""
    sizes = np.abs(values) / np.sqrt(2)
    fractions = 1 / (1 + 0.3275911 * sizes)
    terms = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    polynomial = sum(term * fractions**power for power, term in enumerate(terms, start=1))
    above = polynomial * np.exp(-(sizes**2)) / 2
    return np.asarray(np.where(values > 0, 1 - above, above))
