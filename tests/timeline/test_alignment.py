"""Several runs, row by row: by noise, by inference steps and by calls of the network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffanim.errors import SettingsError
from diffanim.runs.noising import log_snr
from diffanim.schedulers.catalogue import CLASSES, Calls
from diffanim.timeline.alignment import (
    ONE_A_STEP,
    SAME_LEVEL,
    Course,
    Moment,
    aligned,
    aligned_timeline,
    course_of,
)
from diffanim.timeline.shots import Align, Timing
from support.synthetic import synthetic_run


def course(*levels: float, complete: bool = True, calls: Calls = ONE_A_STEP) -> Course:
    return Course(levels, [100.0 - 10 * row for row in range(len(levels))], complete, calls)


@st.composite
def courses(draw: st.DrawFn) -> list[Course]:
    """Runs from noise to images, some with levels that repeat, as Heun's do, or jump back, as RePaint's do."""
    runs = []
    for _ in range(draw(st.integers(1, 5))):
        levels = sorted(draw(st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=15)))
        kind = draw(st.sampled_from(["once", "twice", "jumping"]))
        if kind == "twice":
            levels = [level for level in levels for _ in range(2)][1:] or levels
        if kind == "jumping":
            levels = [*levels, *levels[len(levels) // 2 :]]
        ends = draw(st.sampled_from([levels, [-math.inf, *levels], [*levels, math.inf]]))
        runs.append(course(*ends, complete=draw(st.booleans()), calls=draw(st.sampled_from([Calls(), Calls(2, -1)]))))
    return runs


@given(runs=courses(), by=st.sampled_from(get_args(Align)))
def test_moments_go_forwards_and_end_with_all_last_rows(runs: list[Course], by: Align) -> None:
    moments = aligned(runs, by).moments
    assert moments[-1] == tuple(run.last for run in runs)
    for before, after in pairwise(moments):
        assert before != after
        assert all(one <= other for one, other in zip(before, after, strict=True))


@given(runs=courses())
def test_by_noise_nobody_is_early_and_nobody_late(runs: list[Course]) -> None:
    alignment = aligned(runs)
    steps = alignment.moments[: len(alignment.moments) - any(run.complete for run in runs)]
    for rows, level in zip(steps, alignment.levels, strict=False):
        for run, row in zip(runs, rows, strict=True):
            reached = list(accumulate(run.levels, max))
            assert reached[row] <= level + SAME_LEVEL
            assert row == len(reached) - 1 or reached[row + 1] > level
    assert alignment.levels[0] == max(run.levels[0] for run in runs)
    assert list(alignment.levels) == sorted(alignment.levels)


def test_a_short_run_beside_a_long_one() -> None:
    """Each shows the step whose noise the longer one has reached, and both end together."""
    short, long = course(-4, 0, 4), course(-4, -3, -2, -1, 0, 1, 2, 3, 4)
    moments = aligned([short, long]).moments
    assert [rows[0] for rows in moments] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 3]
    assert [rows[1] for rows in moments] == list(range(10))


def test_levels_beyond_the_last_of_the_longest() -> None:
    assert aligned([course(0, 1, 2, complete=False), course(0, 5)]).moments == ((0, 0), (1, 0), (2, 0), (2, 1), (2, 2))


def test_levels_that_differ_by_rounding_are_the_same() -> None:
    assert aligned([course(0, 1, 2), course(1e-6, 1 - 1e-6, 2 + 1e-6)]).moments == ((0, 0), (1, 1), (2, 2), (3, 3))


def test_runs_begin_together() -> None:
    """What comes before the first level of the last to begin is not shown."""
    whole, late = course(-4, -3, -2, -1, 0), course(-1.5, 0)
    alignment = aligned([whole, late])
    assert alignment.left_out == (2, 0)
    assert alignment.moments == ((2, 0), (3, 0), (4, 1), (5, 2))
    assert alignment.levels == (-1.5, -1, 0, math.inf)


def test_runs_from_images_to_noise() -> None:
    assert aligned([course(4, 0, -4), course(4, -4)]).moments == ((0, 0), (1, 0), (2, 1), (3, 2))
    with pytest.raises(SettingsError, match="add --align step"):
        aligned([course(4, 0, -4), course(-4, 4)])


HEUN = Calls(2, -1)


def test_by_steps_a_step_of_two_calls_shows_the_first() -> None:
    heun, ddim = course(0, 1, 1, 2, 2, calls=HEUN), course(0, 1, 2)
    assert aligned([heun, ddim], "step").moments == ((0, 0), (2, 1), (4, 2), (5, 3))
    assert aligned([heun, course(0, 1)], "step").moments == ((0, 0), (2, 1), (4, 2), (5, 2)), "done, it stays"
    stopped = course(0, 1, 1, 2, complete=False, calls=HEUN)
    assert aligned([stopped], "step").moments == ((0,), (2,), (3,))


def test_by_steps_runge_and_kuttas_three_steps_have_three_calls_more() -> None:
    pndm = course(*range(15), calls=CLASSES["PNDMScheduler"].calls)
    assert [row for (row,) in aligned([pndm], "step").moments] == [0, 4, 8, 12, 13, 14, 15]
    plms = course(*range(5), calls=Calls(1, 1))
    assert [row for (row,) in aligned([plms], "step").moments] == [0, 2, 3, 4, 5]


def test_by_calls_the_network_has_worked_equally_often() -> None:
    heun, ddim = course(0, 1, 1, 2, 2, calls=HEUN), course(0, 1, 2)
    assert aligned([heun, ddim], "calls").moments == ((0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (5, 3))


def test_the_course_of_a_run() -> None:
    heun = course_of(synthetic_run("exploding", steps=3, scheduler="HeunDiscreteScheduler"))
    assert (heun.calls, heun.complete, heun.last) == (HEUN, True, 3)
    assert heun.levels == pytest.approx([-2 * math.log(80), -2 / 3 * math.log(80), 2 / 3 * math.log(80)])
    config = {"skip_prk_steps": True}
    assert course_of(synthetic_run(scheduler="PNDMScheduler", scheduler_config=config)).calls == Calls(1, 1)
    assert course_of(synthetic_run(scheduler="PNDMScheduler")).calls == Calls(1, 9)
    assert course_of(synthetic_run(scheduler="Another")).calls == Calls()


def test_the_signal_to_noise_ratio() -> None:
    levels = log_snr(np.array([0.0, 0.6, 1.0, 1.0, 0.0]), np.array([1.0, 0.8, 1.0, 0.0, 0.0]))
    assert levels.tolist() == pytest.approx([-math.inf, 2 * math.log(0.75), 0, math.inf, math.inf])
    exploding = log_snr(np.array([1.0]), np.array([4 / 3]))
    assert exploding.tolist() == pytest.approx(levels[1:2].tolist()), "it does not depend on the schedule's scale"


SHORT, LONG = course(-4, 0, 4), course(-4, -2, 0, 2, 4)


def shown(timing: Timing, *runs: Course, by: Align = "noise") -> list[tuple[Moment, float]]:
    planned = aligned_timeline(aligned(runs, by), runs, timing)
    return [(shot.rows, shot.seconds) for shot in planned.shots]


def test_timing_counts_moments() -> None:
    end = ((3, 5), 2.0)
    assert shown(Timing(first=2, every=3), SHORT, LONG) == [((0, 1), 0.1), ((2, 4), 0.1), end]
    assert shown(Timing(last=2, hold=1), SHORT, LONG) == [((0, 0), 0.1), ((0, 1), 1.0)]
    assert [rows for rows, _ in shown(Timing(first="t=80"), SHORT, LONG)] == [(2, 4), (3, 5)], "t of the first run"
    back = [rows for rows, _ in shown(Timing(bounce=True, hold_first=1), SHORT, LONG)]
    assert back == [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (3, 5), (2, 4), (1, 3), (1, 2), (0, 1), (0, 0)]
    stopped = course(-4, 0, complete=False)
    assert shown(Timing(), stopped, stopped) == [((0, 0), 0.1), ((1, 1), 2.0)]


def test_easing_measures_moments() -> None:
    asked: list[Moment] = []

    def changes(moments: Sequence[Moment]) -> list[float]:
        asked.extend(moments)
        return [1.0] * (len(moments) - 1)

    alignment = aligned([SHORT, LONG])
    aligned_timeline(alignment, [SHORT, LONG], Timing(ease=True), changes=changes)
    assert tuple(asked) == alignment.moments


def test_a_run_without_a_step() -> None:
    with pytest.raises(SettingsError, match="no complete step"):
        aligned([course(0, 1), course(complete=False)])
