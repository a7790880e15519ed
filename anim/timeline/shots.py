"""Which step is shown, and for how long: pure functions of numbers that need no pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from ..arguments import shown
from ..errors import SettingsError

DEFAULT_FPS = 10.0
"""Steps shown per second."""
DEFAULT_HOLD = 2.0
"""Seconds for which the last picture is held."""
LONGEST = 3600.0
"""Maximum length of an animation, in seconds."""
EASE_RANGE = (0.25, 4.0)
"""How much shorter or longer than average an eased shot may be, so that no step flashes by or seems to hang."""
SHORTEST_EASED = 0.02
"""Seconds: easing makes no shot shorter than this, as browsers slow down GIFs with shorter delays."""
VIDEO_FPS_RANGE = (10, 120)
"""Frames per second of a video stream."""

Bound = int | str
"""A step, counted from 1 as the picture's "step k of N" counts them, or a timestep such as "t=500"."""
Align = Literal["noise", "step", "calls"]
"""What runs have in common at a moment: the noise level, the number of inference steps done, or the number of calls of
the network done."""
Changes = Callable[[Sequence[int]], Sequence[float]]
"""How much the picture changes from each of these rows to the next, 0 or more: one number fewer than rows."""

_STEP = re.compile(r"[-+]?\d{1,300}")  # A float can hold 300 digits.
_TIMESTEP = re.compile(r"t\s*=\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)")
_UNCHANGED = 1e-6
"""Minimum weight of a shot, relative to the greatest change, so that every shot has a share of the time."""


@dataclass(frozen=True)
class Shot:
    """One picture of the animation."""

    rows: tuple[int, ...]
    """The row of each run that it shows, from 0; the row after the last step is the last sample."""
    seconds: float
    """How long it is shown."""


@dataclass(frozen=True)
class Timeline:
    """The shots of an animation."""

    shots: tuple[Shot, ...]
    """In order."""
    fps: float
    """The nominal rate: shots that are neither held nor eased are shown for 1/fps seconds."""

    @property
    def seconds(self) -> float:
        """The total length."""
        return sum(shot.seconds for shot in self.shots)


@dataclass(frozen=True)
class Timing:
    """A user's settings for time; `timeline` applies them to a run.

    Raises:
        SettingsError: a setting is out of range.
    """

    fps: float = DEFAULT_FPS
    """Steps shown per second, above 0; ignored if a duration is given."""
    hold: float = DEFAULT_HOLD
    """Seconds for which the finished image is held, which is never shorter than a step."""
    hold_first: float = 0.0
    """Seconds for which the first picture is held, which is never shorter than a step."""
    every: int = 1
    """Show every n-th step, beginning with the first of the range."""
    first: Bound | None = None
    """The first step shown; None for the run's first step."""
    last: Bound | None = None
    """The last step shown; None for the run's last step and the finished image."""
    bounce: bool = False
    """After the hold, play backwards to the beginning."""
    ease: bool = False
    """Spend more time where x̂0 changes most."""
    duration: float | None = None
    """Total length in seconds, holds included; None if fps decides it."""

    def __post_init__(self) -> None:
        """Check the ranges before any work is done."""
        if not (math.isfinite(self.fps) and self.fps > 0 and math.isfinite(1 / self.fps)):
            raise SettingsError(f"fps is {self.fps}; it must be above 0, such as {DEFAULT_FPS:g}")
        for name, seconds in (("hold", self.hold), ("hold-first", self.hold_first)):
            if not (math.isfinite(seconds) and seconds >= 0):
                raise SettingsError(f"{name} is {seconds} seconds; it must be 0 or more, such as {DEFAULT_HOLD:g}")
        if self.every < 1:
            raise SettingsError(f"every is {self.every}; 1 shows every step, 2 every second one")
        if self.duration is not None and not (math.isfinite(self.duration) and self.duration > 0):
            raise SettingsError(f"duration is {self.duration} seconds; it must be above 0, such as 8")
        for said, seconds in (
            (f"a duration of {self.duration or 0:g}", self.duration or 0),
            (f"a hold of {self.hold:g} and a hold-first of {self.hold_first:g}", self.hold + self.hold_first),
            (f"an fps of {self.fps:g}, or {1 / self.fps:g} a step,", 0 if self.duration else 1 / self.fps),
        ):
            if seconds > LONGEST:
                raise SettingsError(f"{said} seconds are too long; an animation takes at most {LONGEST:g}")
        for bound in (self.first, self.last):
            if isinstance(bound, str):
                _parsed(bound)


def timeline(
    timesteps: Sequence[float], timing: Timing | None = None, *, complete: bool, changes: Changes | None = None
) -> Timeline:
    """The timeline of an animation of one run.

    Every chosen step is shown equally long, or with ``ease`` in proportion to the change around it. The last picture is
    held: the finished image if the run has one and the range reaches it, else the last step of the range, which is
    shown even if ``every`` would skip it. With ``bounce``, the same pictures follow backwards to the first.

    Args:
        timesteps: the run's t, one for each complete step.
        timing: the user's settings.
        complete: whether the run has a finished image.
        changes: measures how much the picture changes; called only for ``ease``.

    Raises:
        SettingsError: the range has nothing to show, the holds use up the duration, or the animation is too long.
    """
    timing = timing or Timing()
    rows = _rows(timesteps, timing, complete=complete)
    way = [*range(len(rows)), *(range(len(rows) - 2, -1, -1) if timing.bounce else ())]
    holds = [0.0] * len(way)
    holds[0] = timing.hold_first
    holds[len(rows) - 1] = max(holds[len(rows) - 1], timing.hold)
    even = 1 / timing.fps if timing.duration is None else even_seconds(timing.duration, holds)
    seconds = [max(hold, even) for hold in holds]
    if timing.ease and changes is not None and len(rows) > 1:
        around = around_each(changes(rows))
        free = [place for place, hold in enumerate(holds) if hold <= even]
        eased = eased_seconds([around[way[place]] for place in free], even)
        for place, length in zip(free, eased, strict=True):
            seconds[place] = length
    if sum(seconds) > LONGEST * (1 + 1e-9):  # The sum is rounded.
        raise SettingsError(
            f"the animation would take {sum(seconds):g} seconds; it can take at most {LONGEST:g}: raise --fps, or show "
            "less of the run"
        )
    shots = tuple(Shot((rows[place],), length) for place, length in zip(way, seconds, strict=True))
    return Timeline(shots, 1 / even)


def check_video_fps(video_fps: float | None) -> None:
    """Check the rate of a video stream: players only agree on the rates of films and displays.

    Raises:
        SettingsError: it is out of `VIDEO_FPS_RANGE`.
    """
    if video_fps is not None and not VIDEO_FPS_RANGE[0] <= video_fps <= VIDEO_FPS_RANGE[1]:
        raise SettingsError(f"video-fps is {video_fps:g}; it must be from {VIDEO_FPS_RANGE[0]} to {VIDEO_FPS_RANGE[1]}")


def spread(shots: Sequence[Shot], count: int) -> tuple[tuple[int, ...], ...]:
    """The rows of ``count`` shots, or of all if there are fewer: the first, the last, and others evenly spaced in time.

    If the shots are eased, the picture therefore changes equally between the chosen ones.

    Args:
        shots: without holds and without a bounce.
        count: 1 or more; 1 chooses the last shot.
    """
    count = min(count, len(shots))
    if count == 1:
        return (shots[-1].rows,)
    begins = list(accumulate((shot.seconds for shot in shots[:-1]), initial=0.0))
    chosen: list[int] = []
    for number in range(count):
        wanted = begins[-1] * number / (count - 1)
        fewest, most = (chosen[-1] + 1 if chosen else 0), len(shots) - (count - number)
        chosen.append(min(range(fewest, most + 1), key=lambda place: abs(begins[place] - wanted)))
    return tuple(shots[place].rows for place in chosen)


def turning_point(shots: Sequence[Shot]) -> int:
    """The index of the shot at which an animation turns back; that of the last one if it does not."""
    return max(range(len(shots)), key=lambda place: shots[place].rows)


def fraction_done(place: int, count: int, turn: int | None = None) -> float:
    """The progress of one of ``count`` pictures: from 0 at the beginning to 1 at the end, or at the turning point."""
    turn = count - 1 if turn is None else turn
    if place < turn:
        return place / turn
    return 1.0 if place == turn else (count - 1 - place) / (count - 1 - turn)


def even_seconds(duration: float, holds: Sequence[float]) -> float:
    """How long each shot must be shown so that all of them take ``duration`` seconds.

    Args:
        duration: seconds, above 0.
        holds: the minimum time of each shot, 0 for most.

    Raises:
        SettingsError: the holds use up the duration.
    """
    held: list[float] = []
    for hold in sorted(holds, reverse=True):
        if len(held) == len(holds) - 1 or hold * (len(holds) - len(held)) <= duration - sum(held):
            break
        held.append(hold)
    left = duration - sum(held)
    if left <= 0:
        raise SettingsError(
            f"the duration is {duration:g} seconds, and holds take {sum(held):g}; lower --hold or raise --duration"
        )
    return left / (len(holds) - len(held))


def around_each(changes: Sequence[float]) -> list[float]:
    """The change around each row: the mean of the change before it and the change after it."""
    return [(before + after) / 2 for before, after in zip([changes[0], *changes], [*changes, changes[-1]], strict=True)]


def eased_seconds(changes: Sequence[float], even: float) -> list[float]:
    """Share out the total time among shots in proportion to their change, within `EASE_RANGE`.

    Args:
        changes: around each shot, 0 or more.
        even: how long each shot is shown without easing, in seconds.

    Returns:
        Seconds for each shot, ``even`` on average.
    """
    most_changed = max(changes, default=0.0)
    if most_changed <= 0:
        return [even] * len(changes)
    weights = [max(change / most_changed, _UNCHANGED) for change in changes]
    shortest = min(even, max(EASE_RANGE[0] * even, SHORTEST_EASED))
    longest = EASE_RANGE[1] * even

    def shares(scale: float) -> list[float]:
        return [min(max(scale * weight, shortest), longest) for weight in weights]

    low, high = 0.0, longest / min(weights)
    for _ in range(100):  # The sum grows with the scale: bisect to the precision of a float.
        middle = (low + high) / 2
        low, high = (middle, high) if sum(shares(middle)) < even * len(weights) else (low, middle)
    return shares(high)


def _rows(timesteps: Sequence[float], timing: Timing, *, complete: bool) -> list[int]:
    steps = len(timesteps)
    if steps < 1:
        raise SettingsError("the run has no complete step to show; record it again")
    start = 1 if timing.first is None else _step(timing.first, timesteps, "first")
    end = steps if timing.last is None else _step(timing.last, timesteps, "last")
    if start > end:
        raise SettingsError(f"no step lies between {start} and {end}; the first must not come after the last")
    rows = list(range(start - 1, end, timing.every))
    if rows[-1] != end - 1:
        rows.append(end - 1)
    return [*rows, steps] if complete and end == steps else rows


def _step(bound: Bound, timesteps: Sequence[float], name: str) -> int:
    """The step that a bound refers to, counted from 1.

    For a timestep, a range begins at the first step that reaches it and ends at the last step that is not beyond it,
    whether t rises or falls.
    """
    number, is_step = _parsed(bound)
    if is_step:
        if not 1 <= number <= len(timesteps):
            raise SettingsError(f"the {name} step shown is {number:g}; the run has steps 1 to {len(timesteps)}")
        return int(number)
    way = 1 if timesteps[-1] > timesteps[0] else -1
    if name == "first":
        steps = [step for step, t in enumerate(timesteps, start=1) if way * (t - number) >= 0][:1]
    else:
        steps = [step for step, t in enumerate(timesteps, start=1) if way * (t - number) <= 0][-1:]
    if not steps:
        raise SettingsError(
            f"no step is shown with t = {number:g} as the {name}; the run's t goes from {timesteps[0]:g} to "
            f"{timesteps[-1]:g}"
        )
    return steps[0]


def _parsed(bound: Bound) -> tuple[float, bool]:
    """The number, and whether it is a step rather than a timestep."""
    text = str(bound).strip()
    if _STEP.fullmatch(text):
        return int(text), True
    if (match := _TIMESTEP.fullmatch(text)) and math.isfinite(float(match[1])):
        return float(match[1]), False
    raise SettingsError(f"{shown(bound)} is not a step; give its number, such as 10, or a timestep, such as t=500")
