"""What is computed from a row of a run: its sample, the model's guess, and quantities that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np

from .noising import mixture_at, natural
from .step import Array
from .trajectory import Trajectory


@dataclass(frozen=True)
class Quantity:
    """An array of a sample's shape for each row of a run.

    Rows count from 0; the row after the steps is the last sample, from which nothing is predicted.
    """

    name: str
    kind: Literal["image", "field"]
    """``image``: values of images, or latents that are decoded for display. ``field``: values around 0, of either sign,
    drawn around grey."""
    values: Callable[[Trajectory, int], Array]
    """Computes a row that the quantity has: float32 [B, C, …]."""
    of: Literal["sample", "step", "move"] = "step"
    """Which rows have it: those with a sample, thus all; those with a prediction; or those with a next sample."""
    becomes: Quantity | None = None
    """The quantity shown in its place at the finished image; None to show its own value of the last step."""
    scale: float | Callable[[Trajectory], float] = 1.0
    """For a field: the value drawn white, which may depend on the run; its negative is drawn black."""
    fixed_forward: bool = False
    """Whether it is the same at all rows of a forward process, whose image and noise do not change."""

    def scale_in(self, run: Trajectory) -> float:
        """The scale in a run.

        Raises:
            TrajectoryError: a row needed to choose it is damaged.
        """
        if not callable(self.scale):
            return self.scale
        scales = _SCALES.setdefault(run, {})
        if self not in scales:
            scales[self] = self.scale(run)
        return scales[self]

    def rows(self, run: Trajectory) -> int:
        """The number of rows of a run that have it."""
        return {"sample": len(run.x), "step": run.steps, "move": len(run.x) - 1}[self.of]

    def is_fixed(self, run: Trajectory) -> bool:
        """Whether all rows of a run, the last sample included, have the same values of it."""
        return self.fixed_forward and run.is_forward

    def at(self, run: Trajectory, row: int) -> tuple[Quantity, int]:
        """The quantity and row to show for a row: themselves, or a substitute at a last sample, which lacks it."""
        if self.is_fixed(run):
            return self, 0
        if row < self.rows(run):
            return self, row
        if self.becomes is not None and run.finished:
            return self.becomes, row
        return self, self.rows(run) - 1


_SCALES: WeakKeyDictionary[Trajectory, dict[Quantity, float]] = WeakKeyDictionary()
"""The scales that depend on a run, for as long as it is in use."""

SAMPLE = Quantity("x", "image", lambda run, row: natural(run, run.x[row], row), of="sample")
"""x_t, scaled to unit variance if the samples of a run explode."""
GUESS = Quantity("x0", "image", lambda run, row: run.x0[row], becomes=SAMPLE, fixed_forward=True)
"""x̂0, predicted from the x_t of the same row; at the finished image, that image. In a forward process, the image that
noise is added to."""


def _found_noise(run: Trajectory, row: int) -> Array:
    row = len(run.x) - 1 if run.is_forward else row  # The noisiest sample, which loses the fewest digits.
    mixture = mixture_at(run, row)
    signal, noise = np.float32(mixture.signal), np.float32(mixture.noise)
    if noise == 0:
        return np.zeros_like(run.x[row])
    return np.asarray((run.x[row] - signal * run.x0[min(row, run.steps - 1)]) / noise)


FOUND_NOISE = Quantity("eps", "field", _found_noise, scale=3.0, fixed_forward=True)
"""ε̂ = (x_t − a·x̂0) / b, what remains of x_t without x̂0: N(0, 1) if the model is right (Ho et al. 2020, DDPM, eq. 15,
solved for ε); 0 if there is no noise. In a forward process, the noise that is added. 3 of 1000 values of that
distribution are outside −3 to 3."""


def rows_behind(run: Trajectory, quantities: Iterable[Quantity]) -> dict[Quantity, set[int]]:
    """The rows of each quantity that are needed to show these quantities at every row of a run."""
    behind: dict[Quantity, set[int]] = {}
    for quantity in quantities:
        for row in range(len(run.x)):
            shown, of_row = quantity.at(run, row)
            behind.setdefault(shown, set()).add(of_row)
    return behind
