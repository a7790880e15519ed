"""What is computed of a row of a run: its sample, the model's guess, and later whatever follows from the two."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .noising import natural
from .step import Array
from .trajectory import Trajectory


@dataclass(frozen=True)
class Quantity:
    """Numbers of the shape of a sample, one array for each row of a run.

    Rows are counted from 0; the row behind the steps is the last sample, of which nothing is predicted any more.
    """

    name: str
    kind: Literal["image", "field"]
    """``image``: the values of images, or latents that are decoded to be seen. ``field``: values around 0, of either
    sign, that are drawn around grey."""
    values: Callable[[Trajectory, int], Array]
    """float32 [B, C, …] of a row that the quantity has."""
    of_last: bool = False
    """Whether the last sample has it too; else there is a value for each step alone."""
    becomes: Quantity | None = None
    """What takes its place beside the finished image; None for the value of the last step."""
    scale: float = 1.0
    """Of a field: the value that is drawn white; its negative is black."""

    def rows(self, run: Trajectory) -> int:
        """How many rows of a run have it."""
        return len(run.x) if self.of_last else run.steps

    def at(self, run: Trajectory, row: int) -> tuple[Quantity, int]:
        """What stands for it at a row, and the row that this is of: beside the last sample the most recent there is."""
        if row < self.rows(run):
            return self, row
        if self.becomes is not None and run.finished:
            return self.becomes, row
        return self, run.steps - 1


SAMPLE = Quantity("x", "image", lambda run, row: natural(run, run.x[row], row), of_last=True)
"""x_t, at unit variance where the samples of a run explode."""
GUESS = Quantity("x0", "image", lambda run, row: run.x0[row], becomes=SAMPLE)
"""x̂0, predicted from the x_t of the same row; beside the finished image that image."""


def _found_noise(run: Trajectory, row: int) -> Array:
    signal, noise = np.float32(run.signal[row]), np.float32(run.noise[row])
    if noise == 0:
        return np.zeros_like(run.x[row])
    return np.asarray((run.x[row] - signal * run.x0[row]) / noise)


FOUND_NOISE = Quantity("eps", "field", _found_noise, scale=3.0)
"""ε̂ = (x_t − a·x̂0) / b, the noise that x̂0 leaves over in x_t: N(0, 1) where the model is right (Ho et al. 2020, DDPM,
eq. 15, solved for ε); 0 where there is no noise. Beyond −3 and 3 lie 3 of 1000 values of that distribution."""


def rows_behind(run: Trajectory, quantities: Iterable[Quantity]) -> dict[Quantity, set[int]]:
    """The rows of which quantities are seen where these are shown at every row of a run."""
    behind: dict[Quantity, set[int]] = {}
    for quantity in quantities:
        for row in range(len(run.x)):
            shown, of_row = quantity.at(run, row)
            behind.setdefault(shown, set()).add(of_row)
    return behind
