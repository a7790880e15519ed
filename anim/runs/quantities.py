"""What is computed from a row of a run: its sample, the model's guess, and quantities that follow from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np

from ..errors import OutputError, SettingsError
from .kept import COND, UNCOND
from .kept import GUIDANCE as KEEP_GUIDANCE
from .noising import FLOW, mixture_at, natural, notation_of
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
    of_sampler: bool = False
    """Whether it is about what a sampler or a model did; a forward process has neither."""
    next_of: Quantity | None = None
    """The quantity of which it is the next row; it is shown, and decoded, as that row."""
    kept: str = ""
    """What a run must keep for it, a name in `KEEPABLE`; empty if nothing."""
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

    def demand(self, run: Trajectory) -> None:
        """Check that a run has it.

        Raises:
            SettingsError: it is about what a sampler did, and the run is a forward process.
            OutputError: the run does not keep what it needs, or has no row of it yet.
        """
        if run.is_forward and self.of_sampler:
            raise SettingsError(f"{self.name} is about a sampler’s steps, which a forward process does not have")
        if self.kept and self.kept not in run.keeps:
            raise OutputError(
                f"{run.path or 'the run'} does not keep x̂0 without and with the condition; record it again with "
                f"--keep {self.kept}"
            )
        if self.rows(run) < 1:
            raise OutputError(f"the run was interrupted in its first step, so it has no {self.name} to show")

    def rows(self, run: Trajectory) -> int:
        """The number of rows of a run that have it."""
        known = len(run.x) if run.is_forward else run.steps
        return {"sample": len(run.x), "step": known, "move": len(run.x) - 1}[self.of]

    def is_fixed(self, run: Trajectory) -> bool:
        """Whether all rows of a run, the last sample included, have the same values of it."""
        return self.fixed_forward and run.is_forward

    def at(self, run: Trajectory, row: int) -> tuple[Quantity, int]:
        """The quantity and row to show for a row: themselves, or a substitute at a last sample, which lacks it."""
        if self.next_of is not None:
            return self.next_of, min(row, self.rows(run) - 1) + 1
        if self.is_fixed(run):
            return self, 0
        if row < self.rows(run):
            return self, row
        if self.becomes is not None and run.finished:
            return self.becomes, row
        return self, self.rows(run) - 1


_SCALES: WeakKeyDictionary[Trajectory, dict[Quantity, float]] = WeakKeyDictionary()
"""The scales that depend on a run, for as long as it is in use."""

_SMALLEST_SCALE = 1e-6

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


NEXT = Quantity(
    "next", "image", lambda run, row: SAMPLE.values(run, row + 1), of="move", next_of=SAMPLE, of_sampler=True
)
"""x_{t−1}, the sample that the step leads to; at the finished image, that image."""


def _velocity(run: Trajectory, row: int) -> Array:
    mixture = mixture_at(run, row)
    signal, noise = np.float32(mixture.signal), np.float32(mixture.noise)
    if noise == 0 and not run.is_forward:
        return np.zeros_like(run.x[row])
    x0, found = run.x0[min(row, run.steps - 1)], _found_noise(run, row)
    if notation_of(run) is FLOW:
        return found - x0
    return np.asarray((signal * found - noise * x0) / np.hypot(signal, noise))


VELOCITY = Quantity("v", "field", _velocity, scale=lambda run: 4.0 if notation_of(run) is FLOW else 3.0)
"""The direction in which the sample moves as noise is added, with the model's guess in place of the image.

- In a flow u = ε̂ − x̂0, the derivative of x = (1 − σ)·x̂0 + σ·ε̂ by σ (Liu et al. 2023, Rectified Flow, eq. 1). Its
  values spread further, to −4 and 4, as noise and image are both whole.
- Otherwise v = (a·ε̂ − b·x̂0) / √(a² + b²), the derivative of the sample at unit variance by the angle atan(b/a)
  (Salimans & Ho 2022, Progressive Distillation, app. D, where a² + b² = 1). Where samples explode, dx/dσ would just be
  ε̂; v is what networks with v-prediction are asked for there, too.

Without noise a run does not say what its model finds, and it is 0. In a forward process image and noise are known; this
is then what networks learn to predict."""


def _change(run: Trajectory, row: int) -> Array:
    return np.asarray(run.x0[row] - run.x0[row - 1]) if row else np.zeros_like(run.x0[0])


CHANGE: Quantity = Quantity("change", "field", _change, scale=lambda run: scale_for(run, CHANGE), of_sampler=True)
"""x̂0 less that of the step before: where the model changes its mind; 0 at the first step."""


UNCONDITIONAL = Quantity(
    "x0_uncond", "image", lambda run, row: run.kept[UNCOND][row], of_sampler=True, kept=KEEP_GUIDANCE
)
"""x̂0 predicted without the condition, not clipped."""
CONDITIONAL = Quantity("x0_cond", "image", lambda run, row: run.kept[COND][row], of_sampler=True, kept=KEEP_GUIDANCE)
"""x̂0 predicted with the condition, not clipped."""


def _guidance(run: Trajectory, row: int) -> Array:
    assert run.guidance is not None
    return np.asarray(np.float32(run.guidance[row]) * (run.kept[COND][row] - run.kept[UNCOND][row]))


GUIDANCE: Quantity = Quantity(
    "guidance",
    "field",
    _guidance,
    scale=lambda run: scale_for(run, GUIDANCE),
    of_sampler=True,
    kept=KEEP_GUIDANCE,
)
"""w·(cond − uncond), what classifier-free guidance adds to the x̂0 predicted without the condition (Ho & Salimans 2022,
eq. 6, with w + 1 for w; x̂0 is affine in the network's output). If x̂0 is not clipped, that is x̂0 − uncond."""


def scale_for(run: Trajectory, quantity: Quantity) -> float:
    """A scale for a field that is the same for all rows of a run, so that they can be compared.

    It is the 99.5th percentile of the values' size at the row that three quarters of the rows do not exceed, rounded up
    to two digits. So neither a few extreme values nor the first steps, where a guess may still change a lot, make all
    others grey; what is beyond the scale is drawn as black or white.

    Returns:
        At least 1e-6, for fields that are 0 everywhere.

    Raises:
        TrajectoryError: a row is damaged.
    """
    sizes = []
    with np.errstate(over="ignore", invalid="ignore"):  # A broken model may predict numbers whose difference is inf.
        for row in range(quantity.rows(run)):
            values = np.fmin(np.abs(quantity.values(run, row)), np.float32(1e38))
            sizes.append(float(np.percentile(values, 99.5)))
    largest = sorted(sizes)[math.ceil(0.75 * len(sizes)) - 1]
    if largest <= _SMALLEST_SCALE:
        return _SMALLEST_SCALE
    unit = 10.0 ** (math.floor(math.log10(largest)) - 1)
    return float(f"{math.ceil(largest / unit - 1e-6) * unit:.2g}")


def rows_behind(run: Trajectory, quantities: Iterable[Quantity]) -> dict[Quantity, set[int]]:
    """The rows of each quantity that are needed to show these quantities at every row of a run."""
    behind: dict[Quantity, set[int]] = {}
    for quantity in quantities:
        for row in range(len(run.x)):
            shown, of_row = quantity.at(run, row)
            behind.setdefault(shown, set()).add(of_row)
    return behind
