"""Several runs in one picture: which row of each is shown together. Pure functions of numbers.

A *moment* is a row of each run. Rows count from 0; the row after a complete run's steps is its last sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingsError
from ..runs.noising import log_snr
from ..runs.trajectory import Trajectory
from ..schedulers.catalogue import Calls
from ..schedulers.choosing import calls_of
from .shots import Align, Shot, Timeline, Timing, timeline

Moment = tuple[int, ...]

ONE_A_STEP = Calls()
SAME_LEVEL = 1e-3
"""Levels of noise this close are the same one, in log-SNR: the noise differs by 0.05 %. Schedulers compute the same
level by different float32 formulas."""


@dataclass(frozen=True)
class Course:
    """What alignment needs to know of a run."""

    levels: Sequence[float]
    """λ = log(a²/b²) of each step, from −∞ to ∞. Some schedulers repeat a level or jump back."""
    t: Sequence[float]
    """The timestep of each step."""
    complete: bool
    """Whether there is a last sample after the steps."""
    calls: Calls = ONE_A_STEP
    """How often the network is called in an inference step."""

    @property
    def last(self) -> int:
        """The last row."""
        return len(self.levels) - (not self.complete)


@dataclass(frozen=True)
class Alignment:
    """The moments of several runs, each different from the one before; the last one has the last row of each run."""

    by: Align
    moments: tuple[Moment, ...]
    levels: tuple[float, ...] = ()
    """Aligned by noise: λ of each moment; ∞ for the one with last samples, −∞ if runs go from images to noise."""

    @property
    def left_out(self) -> Moment:
        """The number of steps at the beginning of each run that are not shown, as other runs begin with less noise."""
        return self.moments[0]


def course_of(run: Trajectory) -> Course:
    """The course of a run that has at least one step."""
    return Course(
        log_snr(run.signal, run.noise).tolist(),
        run.t.tolist(),
        run.complete,
        calls_of(run.info.scheduler, run.info.scheduler_config),
    )


def aligned(courses: Sequence[Course], by: Align = "noise") -> Alignment:
    """The moments of runs.

    ``noise``: there is a moment for each noise level of the run with most levels, and for those of other runs beyond
    its last one. Each run shows the last row whose level is reached, so nothing is shown early. The first moment is the
    first level that every run has reached. ``step``: moment k has the first call of each run's inference step k.
    ``calls``: moment k has the call k of each run. In the last two, runs that are done stay at their last row.

    Raises:
        SettingsError: a run has no step, or runs to be aligned by noise go in opposite directions.
    """
    if any(not course.levels for course in courses):
        raise SettingsError("a run has no complete step to show; record it again")
    match by:
        case "noise":
            return _by_noise(courses)
        case "step":
            return Alignment(by, _side_by_side([_first_calls(course) for course in courses]))
        case "calls":
            return Alignment(by, _side_by_side([range(course.last + 1) for course in courses]))


def aligned_timeline(
    alignment: Alignment,
    courses: Sequence[Course],
    timing: Timing | None = None,
    *,
    changes: Callable[[Sequence[Moment]], Sequence[float]] | None = None,
) -> Timeline:
    """The timeline of several runs: `timeline` with moments for steps.

    The settings ``first``, ``last`` and ``every`` count moments; timesteps are those of the first run.

    Args:
        alignment: of the runs.
        courses: the same runs.
        timing: the user's settings.
        changes: measures how much the picture changes from each moment to the next; called only for ``ease``.

    Raises:
        SettingsError: as `timeline`.
    """
    moments, complete = alignment.moments, any(course.complete for course in courses)
    steps = moments[: len(moments) - complete]
    t = [courses[0].t[min(rows[0], len(courses[0].t) - 1)] for rows in steps]
    between = None if changes is None else (lambda places: changes([moments[place] for place in places]))
    planned = timeline(t, timing, complete=complete, changes=between)
    return Timeline(tuple(Shot(moments[shot.rows[0]], shot.seconds) for shot in planned.shots), planned.fps)


def _by_noise(courses: Sequence[Course]) -> Alignment:
    way = _direction(courses)
    reached = [np.maximum.accumulate(way * np.asarray(course.levels)) for course in courses]
    begin = max(levels[0] for levels in reached)
    lead = max(reached, key=lambda levels: len(np.unique(levels[levels >= begin])))
    beyond = [levels[levels > lead[-1] + SAME_LEVEL] for levels in reached]
    levels = _distinct(np.concatenate([[begin], lead[lead > begin], *beyond]))
    moments = [tuple(_row_at(run, level) for run in reached) for level in levels]
    if any(course.complete for course in courses):
        moments.append(tuple(course.last for course in courses))
        levels.append(np.inf)
    return Alignment("noise", tuple(moments), tuple(way * level for level in levels))


def _direction(courses: Sequence[Course]) -> int:
    """1 for runs from noise to images, −1 from images to noise, as those of inverse schedulers."""
    ways = {-1 if course.levels[-1] < course.levels[0] else 1 for course in courses}
    if len(ways) > 1:
        raise SettingsError(
            "one run goes from noise to images and another from images to noise, so they cannot be aligned by noise; "
            "add --align step"
        )
    return ways.pop()


def _distinct(levels: NDArray[np.float64]) -> list[float]:
    """The levels in order, without those that are the same as the one before."""
    kept: list[float] = []
    for level in np.unique(levels).tolist():
        if not kept or level > kept[-1] + SAME_LEVEL:
            kept.append(level)
    return kept


def _row_at(reached: NDArray[np.float64], level: float) -> int:
    return int(np.searchsorted(reached, level + SAME_LEVEL, side="right")) - 1


def _first_calls(course: Course) -> list[int]:
    """The row of the first call of each inference step, then the last row."""
    last_step = len(course.levels) - 1
    firsts = list(takewhile(lambda row: row <= last_step, (_first_call(course.calls, k) for k in range(last_step + 1))))
    return [*firsts, *([course.last] if course.last > firsts[-1] else [])]


def _first_call(calls: Calls, step: int) -> int:
    """More calls than in every step are for the first steps: three more for each by Runge and Kutta's method, or one
    more for the very first (Liu et al. 2022, PNDM).
    """
    return max(calls.each, 1) * step + (min(3 * step, calls.more) if calls.each == 1 and calls.more > 0 else 0)


def _side_by_side(rows: Sequence[Sequence[int]]) -> tuple[Moment, ...]:
    """Moment k has row k of each run; runs that are done stay at their last row."""
    return tuple(tuple(of[min(k, len(of) - 1)] for of in rows) for k in range(max(map(len, rows))))
