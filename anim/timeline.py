"""Which step is shown for how long: pure functions of numbers, with no picture in sight."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import SettingsError

DEFAULT_FPS = 10.0
"""Steps shown a second."""
DEFAULT_HOLD = 2.0
"""Seconds for which the last picture stays."""


@dataclass(frozen=True)
class Shot:
    """One picture of the animation."""

    row: int
    """Which step of the run it shows, counted from 0; the number of steps stands for the finished image."""
    seconds: float
    """How long it is shown."""


def timeline(
    run_steps: int,
    *,
    complete: bool,
    fps: float = DEFAULT_FPS,
    hold: float = DEFAULT_HOLD,
    every: int = 1,
    first: int | None = None,
    last: int | None = None,
) -> tuple[Shot, ...]:
    """The shots of an animation, in order.

    Every chosen step is shown for 1/fps seconds. What comes last is held: the finished image where the run has one and
    the range reaches it, else the last step of the range, which is shown whether or not it is an n-th one.

    Args:
        run_steps: how many whole steps the run has.
        complete: whether it has a finished image.
        fps: steps a second, above 0.
        hold: seconds for which the last shot stays; at least 1/fps is taken.
        every: show every n-th step, beginning with the first of the range.
        first: the range's first step, counted from 1 as the picture's "step k of N" counts them; 1 if None.
        last: its last step, shown too; the run's last if None.

    Raises:
        SettingsError: a setting is out of its range, or there is nothing to show.
    """
    check_timing(fps, hold, every)
    start, end = _range(run_steps, first, last)
    rows = list(range(start - 1, end, every))
    if rows[-1] != end - 1:
        rows.append(end - 1)
    if complete and end == run_steps:
        rows.append(run_steps)
    *moving, held = rows
    return (*(Shot(row, 1 / fps) for row in moving), Shot(held, max(hold, 1 / fps)))


def check_timing(fps: float, hold: float, every: int) -> None:
    """Find a setting that is out of its range before any work is done.

    Raises:
        SettingsError: says which, and what is allowed.
    """
    if not (math.isfinite(fps) and fps > 0 and math.isfinite(1 / fps)):
        raise SettingsError(f"fps is {fps}; it must be above 0, such as {DEFAULT_FPS:g}")
    if not (math.isfinite(hold) and hold >= 0):
        raise SettingsError(f"hold is {hold} seconds; it must be 0 or more, such as {DEFAULT_HOLD:g}")
    if every < 1:
        raise SettingsError(f"every is {every}; 1 shows every step, 2 every second one")


def _range(run_steps: int, first: int | None, last: int | None) -> tuple[int, int]:
    if run_steps < 1:
        raise SettingsError("the run has no whole step to show; record it again")
    start, end = 1 if first is None else first, run_steps if last is None else last
    for name, step in (("first", start), ("last", end)):
        if not 1 <= step <= run_steps:
            raise SettingsError(f"the {name} step shown is {step}; the run has steps 1 to {run_steps}")
    if start > end:
        raise SettingsError(f"no step lies between {start} and {end}; the first must not come after the last")
    return start, end
