"""A run of points in the plane as it is shown: its particles row by row, and the flow and density around them.

Samples that explode are divided by √(a² + b²), as pictures of them are; all here is in those coordinates.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import numpy as np

from ..errors import OutputError
from .noising import PRESERVING, mixture_at, notation_of, rescaled
from .points import Places, Points
from .run_info import Clipping
from .step import Mixture
from .trajectory import Trajectory

Condition = Literal["unconditional", "conditional", "guided"]
_MOST_PLACES = 2**23
"""Of all particles at all rows."""
_SEEN = 0.975
"""The part of the coordinates, at each row, that the axes reach at least."""
_NOISE = 2.24
"""Within it are `_SEEN` of the coordinates of noise, of a standard normal distribution."""
_FURTHER = 1.25
"""How far beyond data and noise the axes go for particles that overshoot, as those of few steps of Heun do."""
_SPARE = 1.04


def in_plane(run: Trajectory) -> bool:
    """Whether a run's samples are points in the plane."""
    return run.info.space == "point" and run.x.shape[2:] == (2,)


class PointsRun:
    """A run of points.

    Attributes:
        run: the run.
        data: the points that its model knows; None if the recording does not keep them.
        samples: float64 [rows, B, 2], x_t, with the last sample.
        guesses: float64 [rows, B, 2], x̂0; at a last sample that is finished, that sample, else the last guess.
    """

    def __init__(self, run: Trajectory) -> None:
        """Read it.

        Raises:
            OutputError: it holds too many.
            TrajectoryError: a row is damaged.
        """
        rows, particles, _ = run.x.shape
        if rows * particles > _MOST_PLACES:
            raise OutputError(f"{particles} points at {rows} rows are too many to show; record fewer, such as 600")
        self.run, self.data = run, Points.of(run)
        self.samples = np.stack([run.x[row] / self._scale(row) for row in range(rows)]).astype(np.float64)
        guesses = [run.x0[row] for row in range(run.steps)]
        if run.is_forward and run.complete:
            guesses.append(run.x0[run.steps - 1])
        elif run.complete:
            guesses.append(run.x[run.steps] if run.finished else run.x0[run.steps - 1])
        self.guesses = np.stack(guesses).astype(np.float64)

    @functools.cached_property
    def reach(self) -> float:
        """Half the side of the square around 0 that holds all data and nearly all particles at all rows, unless they
        go so far that the data would be small.
        """
        shown = np.abs(np.concatenate([self.samples, self.guesses], axis=1))
        furthest = float(np.quantile(shown, _SEEN, axis=1).max())
        if self.data is None:
            return max(furthest, 1e-3) * _SPARE
        data = float(np.abs(self.data.places).max())
        noise = _NOISE * max(self.mixture(row).noise for row in range(len(self.samples)))
        return max(min(furthest, _FURTHER * max(data, noise)), data, 1e-3) * _SPARE

    def mixture(self, row: int) -> Mixture:
        """The mixture of the samples as they are shown."""
        if row == self.run.steps and self.run.finished:
            return Mixture(1.0, 0.0)
        mixture, scale = mixture_at(self.run, row), self._scale(row)
        return Mixture(mixture.signal / scale, mixture.noise / scale)

    def _scale(self, row: int) -> float:
        """√(a² + b²) where samples explode; points have no black and white whose middle would stay in place."""
        if not rescaled(self.run) or (row == self.run.steps and self.run.finished):
            return 1.0
        mixture = mixture_at(self.run, row)
        return math.hypot(mixture.signal, mixture.noise)

    def has_noise(self, row: int) -> bool:
        """Whether samples have noise that can be seen; without any, nothing is sent anywhere."""
        return self.mixture(row).noise > self.run.invisible_noise

    @property
    def is_guided(self) -> bool:
        """Whether its flow is made of one with a class and one without."""
        return self.run.info.guidance not in (None, 0, 1) and self.class_of(0) is not None

    def class_of(self, particle: int) -> int | None:
        """The number of the class that a particle is made for; None if it is made for none."""
        ideal, labels = self.run.info.ideal, self.run.info.labels
        if ideal is None or self.data is None or self.data.classes is None or particle >= len(labels):
            return None
        found = [number for number, name in enumerate(ideal.class_names) if name == labels[particle]]
        return next((number for number in found if number in self.data.classes), None)

    def guess_at(self, places: Places, row: int, condition: Condition, particle: int) -> Places:
        """x̂0 that the model finds at places, [n, 2], as for a particle; clipped if the scheduler clips it.

        Returns:
            float64 [n, 2].

        Raises:
            OutputError: the recording does not keep the data.
        """
        mixture, number = self.mixture(row), self.class_of(particle)
        data = self._demand_data()
        found = self._guesses_of(data, places, mixture) if condition != "conditional" or number is None else None
        if condition == "unconditional" or number is None:
            assert found is not None
            return found
        towards = self._guesses_of(data.of_class(number), places, mixture)
        return towards if found is None else found + (self.run.info.guidance or 0) * (towards - found)

    def _guesses_of(self, data: Points, places: Places, mixture: Mixture) -> Places:
        return data.guesses(places, mixture.signal, mixture.noise)

    def flow_at(self, places: Places, row: int, condition: Condition, particle: int = 0) -> Places:
        """The direction in which the probability flow moves places as noise falls (Song et al. 2021, eq. 13).

        A place x is a·x̂0 + b·ε̂ with ε̂ = (x − a·x̂0) / b, and moves as a and b change while x̂0 and ε̂ stay:
        (da)·x̂0 + (db)·ε̂. Its length depends on the clock, so only directions, and lengths at one row, mean anything.

        Returns:
            float64 [n, 2].
        """
        x0 = self.guess_at(places, row, condition, particle)
        info = self.run.info
        if info.clipped is Clipping.CLIPPED:
            x0 = np.clip(x0, -info.clip_range, info.clip_range)
        mixture, (signal, noise) = self.mixture(row), self._rates(row)
        found = (places - mixture.signal * x0) / mixture.noise
        return np.asarray(signal * x0 + noise * found)

    def _rates(self, row: int) -> tuple[float, float]:
        """How fast a and b change as noise falls."""
        mixture = self.mixture(row)
        around = mixture.noise, -mixture.signal  # On the circle a² + b² = 1, by its angle.
        if rescaled(self.run) or notation_of(self.run) is PRESERVING:
            return around
        last = len(self.run.x) - 1
        before, after = self.mixture(max(row - 1, 0)), self.mixture(min(row + 1, last))
        signal, noise = after.signal - before.signal, after.noise - before.noise
        if self.run.is_forward:
            signal, noise = -signal, -noise
        return (signal, noise) if abs(signal) + abs(noise) > 1e-12 else around

    def density(self, across: Places, down: Places, row: int) -> Places:
        """q(x_t) of all data, the mean over each cell of a grid with these edges: float64 [h, w].

        Raises:
            OutputError: the recording does not keep the data.
        """
        mixture = self.mixture(row)
        return self._demand_data().density(across, down, mixture.signal, mixture.noise)

    def _demand_data(self) -> Points:
        if self.data is None:
            raise OutputError("the recording does not keep the data of its model, from which field and density follow")
        return self.data
