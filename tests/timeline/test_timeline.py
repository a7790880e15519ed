from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from diffanim.errors import SettingsError
from diffanim.scenes.changes import x0_changes
from diffanim.scenes.views import view_of
from diffanim.timeline.shots import (
    DEFAULT_FPS,
    DEFAULT_HOLD,
    EASE_RANGE,
    SHORTEST_EASED,
    Shot,
    Timing,
    around_each,
    eased_seconds,
    even_seconds,
    fraction_done,
    spread,
    timeline,
    turning_point,
)
from support.synthetic import synthetic_run

steps = st.integers(1, 1000)
rates = st.floats(0.5, 240)  # At less, a thousand steps take more than the hour that there is.
holds = st.floats(0, 60)
changes = st.lists(st.floats(0, 1), min_size=1, max_size=100)


def shots(run_steps: int, *, complete: bool = True, **timing: Any) -> tuple[Shot, ...]:
    return timeline(range(run_steps - 1, -1, -1), Timing(**timing), complete=complete).shots


def rows(run_steps: int, *, complete: bool = True, **timing: Any) -> list[int]:
    return [shot.rows[0] for shot in shots(run_steps, complete=complete, **timing)]


def test_a_whole_run() -> None:
    assert shots(3, fps=10, hold=2) == (Shot((0,), 0.1), Shot((1,), 0.1), Shot((2,), 0.1), Shot((3,), 2.0))


@given(run_steps=steps, complete=st.booleans(), every=st.integers(1, 50), bounce=st.booleans())
def test_progress_is_that_of_the_picture(run_steps: int, complete: bool, every: int, bounce: bool) -> None:
    """On the way back it is what it was on the way there."""
    shown = shots(run_steps, complete=complete, every=every, bounce=bounce)
    turn = turning_point(shown)
    way = [fraction_done(place, len(shown), turn) for place in range(len(shown))]
    assert way[turn] == 1
    assert way[: turn + 1] == [fraction_done(place, turn + 1) for place in range(turn + 1)]
    if bounce:
        assert way == pytest.approx(way[::-1])
    else:
        assert turn == len(shown) - 1
    assert turn == 0 or way[0] == 0


def test_an_interrupted_run_holds_its_last_step() -> None:
    assert shots(2, complete=False, fps=10, hold=2) == (Shot((0,), 0.1), Shot((1,), 2.0))


def test_every_third_keeps_the_last() -> None:
    assert rows(9, every=3) == [0, 3, 6, 8, 9]


def test_a_range_counts_from_one_and_ends_where_it_says() -> None:
    shown = shots(40, first=10, last=12)
    assert [shot.rows[0] for shot in shown] == [9, 10, 11]
    assert shown[-1].seconds == DEFAULT_HOLD


@given(run_steps=steps, complete=st.booleans(), fps=rates, hold=holds, every=st.integers(1, 50), data=st.data())
def test_what_holds_for_every_timeline(
    run_steps: int, complete: bool, fps: float, hold: float, every: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, run_steps))
    last = data.draw(st.integers(first, run_steps))
    all_shots = shots(run_steps, complete=complete, fps=fps, hold=hold, every=every, first=first, last=str(last))
    rows = [shot.rows[0] for shot in all_shots]
    closed = complete and last == run_steps
    shown = rows[:-1] if closed else rows
    assert rows == sorted(set(rows))
    assert (rows[-1] == run_steps) == closed
    assert shown[0] == first - 1
    assert shown[-1] == last - 1
    assert all(row % every == shown[0] % every for row in shown[:-1])
    assert len(shown) == len({*range(first - 1, last, every), last - 1})
    assert all(shot.seconds == 1 / fps for shot in all_shots[:-1])
    assert all_shots[-1].seconds == max(hold, 1 / fps)


def test_the_first_picture_is_held_too() -> None:
    assert [shot.seconds for shot in shots(2, fps=10, hold=2, hold_first=1)] == [1.0, 0.1, 2.0]
    assert [shot.seconds for shot in shots(2, fps=2, hold=0, hold_first=0.1)] == [0.5, 0.5, 0.5], "never shorter"
    assert shots(1, complete=False, hold=1, hold_first=3) == (Shot((0,), 3.0),)


def test_bouncing_goes_back_by_the_same_way() -> None:
    assert shots(2, fps=10, hold=2, hold_first=1, bounce=True) == (
        Shot((0,), 1.0),
        Shot((1,), 0.1),
        Shot((2,), 2.0),
        Shot((1,), 0.1),
        Shot((0,), 0.1),
    )
    assert rows(1, complete=False, bounce=True) == [0]


@given(run_steps=steps, every=st.integers(1, 50))
def test_a_bounce_reads_the_same_backwards(run_steps: int, every: int) -> None:
    there = rows(run_steps, every=every)
    back = rows(run_steps, every=every, bounce=True)
    assert back == back[::-1]
    assert back[: len(there)] == there


KARRAS = [999.0, 700.5, 500.0, 500.0, 250.25, 0.0]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("t=500", None, [2, 3, 4, 5, 6]),
        ("t=499", None, [4, 5, 6]),
        ("t = 1000", "t=700.5", [0, 1]),
        (None, "t=500", [0, 1, 2, 3]),
        (None, "t=0", [0, 1, 2, 3, 4, 5, 6]),
        ("2", "t=3e2", [1, 2, 3]),
        ("t=-0", "6", [5, 6]),
    ],
)
def test_ranges_by_timestep(first: str | None, last: str | None, expected: list[int]) -> None:
    shown = timeline(KARRAS, Timing(first=first, last=last), complete=True).shots
    assert [shot.rows[0] for shot in shown] == expected


def test_timesteps_that_rise() -> None:
    shown = timeline([0, 0.25, 0.5, 0.75], Timing(first="t=0.3", last="t=.6"), complete=True).shots
    assert [shot.rows[0] for shot in shown] == [2]


@given(run_steps=st.integers(1, 60), hold=holds, hold_first=holds, duration=st.floats(0.1, 300), bounce=st.booleans())
def test_a_duration_is_kept(run_steps: int, hold: float, hold_first: float, duration: float, bounce: bool) -> None:
    assume(hold + hold_first < 0.99 * duration)
    timing = Timing(fps=3, hold=hold, hold_first=hold_first, duration=duration, bounce=bounce)
    planned = timeline(range(run_steps), timing, complete=True)
    assert planned.seconds == pytest.approx(duration)
    moving = [shot.seconds for shot in planned.shots if shot.seconds not in (hold, hold_first)]
    assert moving == pytest.approx([1 / planned.fps] * len(moving))
    assert all(shot.seconds >= 1 / planned.fps - 1e-12 for shot in planned.shots)


def test_a_duration_of_eight_seconds() -> None:
    planned = timeline(range(40), Timing(duration=8, hold=2), complete=True)
    assert planned.fps == pytest.approx(40 / 6)
    assert [round(shot.seconds, 6) for shot in planned.shots] == [*[0.15] * 40, 2.0]


def test_holds_that_leave_no_time() -> None:
    with pytest.raises(SettingsError, match="the duration is 2 seconds, and holds take 3"):
        even_seconds(2, [0, 1, 0, 2])
    assert even_seconds(3, [0, 0.5, 0]) == 1, "a hold that is shorter than the rest is none"


@given(changes=changes, even=st.floats(0.001, 2))
def test_easing_shares_the_time_out(changes: list[float], even: float) -> None:
    seconds = eased_seconds(changes, even)
    assert sum(seconds) == pytest.approx(even * len(changes))
    shortest = min(even, max(EASE_RANGE[0] * even, SHORTEST_EASED))
    assert all(shortest - 1e-9 <= length <= EASE_RANGE[1] * even + 1e-9 for length in seconds)
    for (one, short), (other, long) in pairwise(sorted(zip(changes, seconds, strict=True))):
        assert one == other or short <= long + 1e-9, "where more changes, no less time"


def test_easing_in_proportion() -> None:
    assert eased_seconds([1, 2, 3], 0.1) == pytest.approx([0.05, 0.1, 0.15])
    assert eased_seconds([0, 0, 0], 0.1) == [0.1] * 3
    assert eased_seconds([0.3] * 7, 0.1) == pytest.approx([0.1] * 7)
    assert eased_seconds([0, 0, 0, 0, 1], 0.1) == pytest.approx([0.025, 0.025, 0.025, 0.025, 0.4])


def test_an_eased_timeline_keeps_holds_and_length() -> None:
    asked: list[list[int]] = []

    def changes(rows: Any) -> list[float]:
        asked.append(list(rows))
        return [1, 2, 3, 2]

    planned = timeline(range(4), Timing(fps=10, hold=2, ease=True), complete=True, changes=changes)
    assert asked == [[0, 1, 2, 3, 4]]
    assert around_each([1, 2, 3, 2]) == [1, 1.5, 2.5, 2.5, 2]
    assert [shot.seconds for shot in planned.shots] == pytest.approx([0.4 / 7.5 * w for w in (1, 1.5, 2.5, 2.5)] + [2])
    back = timeline(range(4), Timing(ease=True, bounce=True, duration=9), complete=True, changes=changes)
    seconds = [shot.seconds for shot in back.shots]
    assert seconds == pytest.approx(seconds[::-1])
    assert back.seconds == pytest.approx(9)
    plain = timeline(range(4), Timing(), complete=True, changes=lambda _rows: pytest.fail("not asked for"))
    assert plain == timeline(range(4), complete=True)


def test_changes_of_a_run() -> None:
    run = synthetic_run(steps=4, value_range=(0, 1))
    measured = x0_changes(view_of(run), [0, 1, 4])
    images = [np.rint(255 * np.clip(values, 0, 1)) / 255 for values in (run.x0[0], run.x0[1], run.x[4])]
    assert measured == pytest.approx([np.sqrt(((b - a) ** 2).mean()) for a, b in pairwise(images)])
    assert x0_changes(view_of(synthetic_run(contrast=0)), range(6)) == [0.0] * 5


@given(seconds=st.lists(st.floats(0.02, 2), min_size=1, max_size=60), count=st.integers(1, 20))
def test_what_is_spread(seconds: list[float], count: int) -> None:
    rows = [row for (row,) in spread([Shot((row,), length) for row, length in enumerate(seconds)], count)]
    assert len(rows) == min(count, len(seconds))
    assert list(rows) == sorted(set(rows))
    assert rows[-1] == len(seconds) - 1
    assert len(rows) == 1 or rows[0] == 0


def test_spread_evenly_in_time() -> None:
    assert spread(shots(40, hold=0), 6) == ((0,), (8,), (16,), (24,), (32,), (40,))
    slow = [Shot((row,), 1.0 if 10 <= row < 20 else 0.1) for row in range(41)]
    assert spread(slow, 6) == ((0,), (12,), (14,), (17,), (19,), (40,))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fps": 0}, "fps is 0"),
        ({"fps": -1}, "fps is -1"),
        ({"fps": math.nan}, "fps is nan"),
        ({"fps": math.inf}, "fps is inf"),
        ({"fps": 5e-324}, "fps is"),
        ({"hold": -0.5}, "hold is -0.5"),
        ({"hold": math.nan}, "hold is nan"),
        ({"hold_first": -1}, "hold-first is -1"),
        ({"every": 0}, "every is 0"),
        ({"duration": 0}, "duration is 0"),
        ({"duration": math.inf}, "duration is inf"),
        ({"duration": 2}, "holds take 2"),
        ({"first": 0}, "steps 1 to 40"),
        ({"last": 41}, "steps 1 to 40"),
        ({"first": 5, "last": 4}, "no step lies between 5 and 4"),
        ({"first": "t=-1"}, "no step is shown with t = -1 as the first; the run's t goes from 39 to 0"),
        ({"last": "t=99"}, "no step is shown with t = 99 as the last"),
        ({"first": "x=1"}, "'x=1' is not a step; give its number, such as 10, or a timestep, such as t=500"),
        ({"last": "t=1e999"}, "is not a step"),
        ({"last": "1.5"}, "is not a step"),
    ],
)
def test_bad_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        shots(40, **settings)


def test_a_run_without_a_step() -> None:
    with pytest.raises(SettingsError, match="no complete step"):
        shots(0, complete=False)


def test_defaults() -> None:
    planned = timeline([1, 0], complete=True)
    assert [shot.seconds for shot in planned.shots] == [1 / DEFAULT_FPS, 1 / DEFAULT_FPS, DEFAULT_HOLD]
    assert planned.fps == DEFAULT_FPS
