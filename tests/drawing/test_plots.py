"""Plots as pictures: what is drawn where, and what stays the same from row to row."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pytest

from diffanim.drawing.axes import apart, area_of, texts_around, ticks_of
from diffanim.drawing.plots import DrawnPlot
from diffanim.drawing.themes import THEMES, Theme
from diffanim.scenes.phrases import Ink, Maths, Words
from diffanim.scenes.plots import Axis, Line, Plot, Trail

ROWS = 9
DARK = THEMES["dark"]


def moving(**changed: Any) -> Plot:
    """A level line that falls from 8 to 0, one row at a time, and a point that goes along the diagonal."""
    rows = np.arange(float(ROWS))
    parts: dict[str, Any] = {
        "lines": (Line(np.array([0.0, 8.0]), np.stack([8 - rows, 8 - rows], 1), "signal"),),
        "trails": (Trail(rows, rows, "noise"),),
    }
    across, up = Axis(0, 8, ((Words("across"),),)), Axis(0, 8, ((Words("up"),),))
    return Plot(across, up, ROWS, **{**parts, **changed})


def drawn(plot: Plot, width: int = 200, height: int = 160, theme: Theme = DARK, em: int = 16) -> DrawnPlot:
    return DrawnPlot(plot, width, height, theme, em)


def at(picture: np.ndarray, plot: Plot, x: float, y: float) -> np.ndarray:
    """The pixel at a point of a plot."""
    area = area_of(plot, picture.shape[1], picture.shape[0], 16)
    column, row = float(area.columns(np.array(x))), float(area.rows(np.array(y)))
    found: np.ndarray = picture[round(row - 0.5), round(column - 0.5)].astype(int)
    return found


def near(colour: np.ndarray, wanted: tuple[int, int, int]) -> bool:
    return bool(np.abs(colour - wanted).max() < 24)


@pytest.mark.parametrize("theme", THEMES)
def test_each_row_draws_its_own_values(theme: str) -> None:
    plot, colours = moving(), THEMES[theme]
    pictures = drawn(plot, theme=colours)
    for row in (0, 3, 8, 1):  # In any order: nothing of a row is left in the next.
        picture = pictures.at(row)
        assert picture.dtype == np.uint8
        assert near(at(picture, plot, 1.5, 8 - row), colours.signal)
        assert near(at(picture, plot, row, row), colours.noise)
        for other in set(range(ROWS)) - {row}:
            assert not near(at(picture, plot, 6.5 if row < 6 else 0.5, 8 - other), colours.signal)
        if row == 3:
            assert near(at(picture, plot, 1.5, 1.5), colours.noise)
            assert near(at(picture, plot, 4.5, 4.5), colours.background), "where it will go is not shown"


@pytest.mark.parametrize(("width", "height"), [(190, 190), (49, 49), (801, 97), (1, 1), (20, 300)])
def test_it_fills_its_box_at_any_size(width: int, height: int) -> None:
    labelled = (Line(np.array([0.0, 8.0]), np.array([1.0, 2.0]), "signal", label=(Maths("x_t"),), filled=True),)
    pictures = drawn(moving(lines=labelled, equal=True, cursor=np.arange(9.0), key=((Words("key"),),)), width, height)
    assert pictures.at(4).shape == (height, width, 3)


def test_only_what_moves_changes() -> None:
    plot = moving()
    area = area_of(plot, 200, 160, 16)
    pictures = drawn(plot)
    first, last = pictures.at(0), pictures.at(8)
    changed = np.argwhere((first != last).any(-1))
    assert changed[:, 0].min() >= area.top - 6
    assert changed[:, 0].max() <= area.bottom + 6
    assert changed[:, 1].min() >= area.left - 6
    assert np.array_equal(pictures.at(0), first)


def test_ahead_of_the_cursor_a_trail_is_dimmed() -> None:
    rows = np.arange(float(ROWS))
    plot = moving(lines=(), trails=(Trail(rows, np.full(ROWS, 4.0), "signal", ahead=True),), cursor=rows)
    picture = drawn(plot).at(4)
    assert near(at(picture, plot, 1.5, 4), DARK.signal)
    ahead = at(picture, plot, 6.5, 4)
    assert near(ahead, tuple((np.array(DARK.signal) + DARK.background) // 2))
    assert near(at(picture, plot, 4, 7.5), DARK.quiet)


def test_the_users_own_style_does_not_matter() -> None:
    wanted = drawn(moving()).at(3)
    with matplotlib.rc_context(
        {"lines.linewidth": 9, "lines.marker": "x", "path.sketch": (5, 50, 2), "savefig.dpi": 300, "figure.dpi": 40}
    ):
        assert np.array_equal(drawn(moving()).at(3), wanted)


def test_labels_at_the_ends_are_beside_their_lines_and_never_overlap() -> None:
    flat = np.array([0.0, 8.0])
    levels: tuple[tuple[float, Ink], ...] = ((7.0, "signal"), (1.0, "noise"), (1.0, "strong"))
    lines = tuple(
        Line(flat, np.stack([np.array([y, y])] * ROWS), ink, label=(Words("label", ink),)) for y, ink in levels
    )
    plot = moving(lines=lines, trails=())
    picture = drawn(plot).at(0)
    area = area_of(plot, 200, 160, 16)
    beside = picture[:, area.right + 3 :].astype(int)
    places = {
        line.ink: np.flatnonzero((np.abs(beside - DARK.ink(line.ink)).max(-1) < 40).any(1))[[0, -1]] for line in lines
    }
    assert abs(np.mean(places["signal"]) - float(area.rows(np.array(7.0)))) < 6
    assert places["strong"][1] < places["noise"][0], "the one in front is named first"


@pytest.mark.parametrize(("wide", "tall"), [(60, 60), (90, 90), (130, 130), (200, 200), (800, 100), (130, 400)])
def test_text_never_overlaps_and_leaves_where_there_is_no_room(wide: int, tall: int) -> None:
    ends = (Line(np.array([0.0, 8.0]), np.array([1.0, 2.0]), "signal", label=(Words("end", "signal"),)),)
    plot = moving(lines=ends, key=((Maths("x_t"),),))
    area = area_of(plot, wide, tall, 16)
    boxes = [text.box for text in texts_around(area, wide, tall)]
    assert bool(boxes) == (wide > 60)
    for left, top, right, bottom in boxes:
        assert min(left, top) >= 0
        assert right <= wide
        assert bottom <= tall
        assert right <= area.left or left >= area.right or bottom <= area.top or top >= area.bottom
    for one, other in combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_an_equal_plot_keeps_angles() -> None:
    plot = moving(equal=True)
    area = area_of(plot, 400, 160, 16)
    one, two = np.array([1.0]), np.array([3.0])
    assert area.columns(two) - area.columns(one) == pytest.approx(area.rows(one) - area.rows(two))


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (Axis(0, 1), ["0", "0.5", "1.0"]),
        (Axis(-3.1, 3.1), ["−2", "0", "2"]),
        (Axis(1, 2, whole=True), ["1", "2"]),
        (Axis(1, 40), ["10", "20", "30", "40"]),
        (Axis(1, 32, log=True), ["1", "3", "10", "30"]),
        (Axis(1, 128, log=True), ["1", "10", "100"]),
        (Axis(2e-7, 3e2, log=True), ["10^{-6}", "10^{-3}", "1"]),
        (Axis(0, 1, ticks=()), []),
    ],
)
def test_ticks_are_few_and_round(axis: Axis, expected: list[str]) -> None:
    found = ticks_of(axis, 4)
    assert [getattr(text[0], "text", getattr(text[0], "tex", "")) for _, text in found] == expected
    assert all(axis.low <= value <= axis.high for value, _ in found)


def test_a_logarithm_leaves_out_what_it_has_not() -> None:
    assert np.isnan(Axis(1, 10, log=True).fractions(np.array([0.0, -1.0]))).all()
    np.testing.assert_allclose(Axis(1, 100, log=True).fractions(np.array([1.0, 10.0, 100.0])), [0, 0.5, 1])


@pytest.mark.parametrize("limits", [(1, 1), (2, 1), (0, float("nan"))])
def test_impossible_axes_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="an axis cannot go from"):
        Axis(*limits)
    with pytest.raises(ValueError, match="decades"):
        Axis(0, 1, log=True)


def test_labels_that_collide_are_pushed_apart_within_limits() -> None:
    assert apart([0, 1, 50], 10, 0, 60) == [0, 10, 50]
    assert apart([55, 58, 59], 10, 0, 60) == [40, 50, 60]


def test_a_row_that_is_not_there_is_refused() -> None:
    with pytest.raises(IndexError, match="rows 0 to 8, not 9"):
        drawn(moving()).at(9)


@pytest.mark.parametrize("end", [-20.0, 20.0])
def test_a_line_keeps_its_label_while_any_of_it_is_seen(end: float) -> None:
    points, label = np.array([0.0, 4.0, 8.0]), (Words("label", "signal"),)
    for start in (4.0, end):
        line = Line(points, np.stack([np.array([start, start, end])] * ROWS), "signal", label=label)
        plot = moving(lines=(line,), trails=())
        beside = drawn(plot).at(0)[:, area_of(plot, 200, 160, 16).right + 3 :].astype(int)
        assert bool((np.abs(beside - DARK.signal).max(-1) < 40).any()) == (start == 4)
