"""Several runs in one picture: nothing overlaps or leaves it, whatever the sizes; dots lie on one axis of noise."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from diffanim.drawing.columns import ColumnsLayout, Images, arrange_columns
from diffanim.drawing.comparison import Comparison as Stage
from diffanim.drawing.composer import Composer
from diffanim.drawing.layout import Box, LineHeights
from diffanim.drawing.themes import THEMES
from diffanim.errors import SettingsError
from diffanim.scenes.levels import on_one_axis
from diffanim.scenes.panels import panels_named
from diffanim.scenes.scene import Comparison, Scene
from diffanim.scenes.views import view_of
from diffanim.timeline.shots import Align, Shot
from support.synthetic import synthetic_run

LINES = LineHeights((12, 4), (16, 8), (12, 4))


def scene(*runs: Any, panels: str = "x0,x", align: Align = "noise", shared: str = "made up") -> Scene:
    labels = tuple((f"run number {number}", f"run {number}") for number in range(len(runs)))
    return Scene(tuple(map(view_of, runs)), panels_named(panels), comparison=Comparison((shared,), labels, align))


def overlaps(one: Box, other: Box) -> bool:
    return one.x < other.right and other.x < one.right and one.y < other.bottom and other.y < one.bottom


@settings(max_examples=60)
@given(
    runs=st.lists(
        st.builds(Images, st.integers(1, 9), st.tuples(st.integers(8, 300), st.integers(8, 300))),
        min_size=2,
        max_size=12,
    ),
    width=st.integers(240, 2600),
    height=st.none() | st.integers(240, 1600),
    panels=st.integers(1, 4),
    em=st.integers(12, 32),
    columns=st.none() | st.integers(1, 4),
)
@example([Images(1, (64, 64))] * 4, 830, None, 2, 16, None)
def test_whatever_fits_lies_inside_and_apart(
    runs: list[Images], width: int, height: int | None, panels: int, em: int, columns: int | None
) -> None:
    aside = (5 * em, 5 * em) if panels == 2 else None
    try:
        layout = arrange_columns(
            [[images] * panels for images in runs],
            size=(width, height),
            lines=LINES,
            em=em,
            aside=aside,
            columns=columns,
            named_rows=columns is not None,
            footed=panels == 3,
        )
    except SettingsError as error:
        assert "make the picture larger" in str(error)
        return
    assert (layout.width, layout.height) == (width, height) if height else layout.width <= width
    assert len(layout.panels) == panels * len(runs)
    boxes = [*(place.box for place in layout.panels), layout.strip, *layout.asides]
    for one, other in combinations(boxes, 2):
        assert not overlaps(one, other)
    for box in boxes:
        assert 0 <= box.x < box.right <= layout.width
        assert 0 <= box.y < box.bottom <= layout.height
    for number, (header, images) in enumerate(zip(layout.headers, runs, strict=True)):
        places = layout.panels[number * panels : (number + 1) * panels]
        assert all(len(place.cells) == images.count for place in places)
        assert header.baseline < min(place.box.y for place in places)
        if layout.feet:
            below = max(place.box.bottom for place in places)
            assert below <= layout.feet[number].baseline - LINES.title[0] < layout.strip.y
        for place in places:
            for cell in place.cells:
                assert place.box.x <= cell.x < cell.right <= place.box.right
                assert place.box.y <= cell.y < cell.bottom <= place.box.bottom
    if panels > 1:
        large, small = (layout.panels[number].cells[0] for number in (0, 1))
        assert small.width <= large.width
    if aside:
        assert all(box.width >= aside[0] and box.height >= aside[1] for box in layout.asides)


@pytest.mark.parametrize("size", [(640, None), (830, None), (1280, 720), (1920, 1080)])
@pytest.mark.parametrize("panels", ["x0", "x0,x", "x0,x,eps"])
def test_no_text_leaves_its_picture_or_touches_another(size: Any, panels: str) -> None:
    runs = [synthetic_run(kind, shape=(count, 3, side, side)) for kind, count, side in
            (("preserving", 1, 64), ("exploding", 4, 32), ("flow", 9, 16), ("preserving", 1, 100))]  # fmt: skip
    composer = Composer(
        scene(*runs, panels=panels, shared="a model with a long name · cat, fruit, flower · seed 12345"), size=size
    )
    for rows in ((0, 0, 0, 0), (6, 6, 6, 6)):
        texts = [text.box for _, text in composer.backdrop(rows).texts]
        panels_ = [(p.box.x, p.box.y, p.box.right, p.box.bottom) for p in composer.layout.panels]
        for one, other in combinations([*texts, *panels_], 2):
            assert not overlaps(Box(one[0], one[1], one[2] - one[0], one[3] - one[1]),
                                Box(other[0], other[1], other[2] - other[0], other[3] - other[1]))  # fmt: skip
        assert all(
            x >= 0 and y >= 0 and right <= composer.width and bottom <= composer.height for x, y, right, bottom in texts
        )


def test_the_axis_of_noise_is_that_of_the_closed_form() -> None:
    runs = [synthetic_run(kind, steps=5) for kind in ("preserving", "exploding", "flow")]
    positions = on_one_axis(runs)
    assert min(map(np.min, positions)) == 0
    assert max(map(np.max, positions)) == 1
    flat, order = np.concatenate(positions), np.concatenate([run.noise / np.maximum(run.signal, 1e-12) for run in runs])
    assert (np.diff(flat[np.argsort(-order)]) >= 0).all(), "less noise is never further to the left"


def test_steps_are_lit_as_they_are_made() -> None:
    composer = Composer(scene(synthetic_run(), synthetic_run("exploding", steps=9)), size=(1280, 720))
    stage, theme = composer.stage, THEMES["dark"]
    assert isinstance(stage, Stage)
    picture = composer.compose(Shot((2, 4), 0.1)).pixels
    for run, (now, steps) in enumerate(((2, 6), (4, 9))):
        y = stage.dots.middle(run)
        for row in range(steps):
            colour = tuple(picture[y, stage.dots.column(run, row)])
            if row < now:
                assert colour == theme.noise
            elif row == now:
                assert colour == theme.strong
            else:
                assert colour not in (theme.noise, theme.strong)


def test_runs_that_do_not_fit_are_refused_in_small_type_too() -> None:
    runs = [synthetic_run() for _ in range(12)]
    for text in (0.5, 1.0):
        with pytest.raises(SettingsError, match="12 runs do not fit into 240×240 pixels"):
            Composer(scene(*runs), size=(240, 240), text=text)


def test_runs_whose_names_do_not_fit_are_numbered() -> None:
    names = tuple((f"{'a very long name ' * 3}{number}",) for number in range(4))
    shown = scene(*[synthetic_run() for _ in names])
    composer = Composer(replace(shown, comparison=Comparison(("made up",), names)), size=(830, None))
    said = [getattr(text.piece, "text", "") for _, text in composer.backdrop((0, 0, 0, 0)).texts]
    for number in range(1, 5):
        assert f"run {number}" in said
        assert any(text.startswith(f"{number}: a very long name") for text in said)


@pytest.mark.parametrize(("align", "is_there"), [("noise", True), ("step", False), ("calls", False)])
def test_the_noise_level_is_told_where_runs_share_it(align: Align, is_there: bool) -> None:
    composer = Composer(scene(synthetic_run(), synthetic_run("flow"), align=align), size=(1280, 720))
    title = composer.layout.title
    corner = (slice(0, title.baseline), slice(title.right - 60, title.right))
    found = composer.compose(Shot((3, 3), 0.1)).pixels[corner]
    assert bool((found == THEMES["dark"].noise).all(-1).any()) == is_there
    at_end = composer.compose(Shot((6, 6), 0.1)).pixels[corner]
    assert not (at_end == THEMES["dark"].noise).all(-1).any()


def corners(across: int | None, size: tuple[int, int | None] = (830, None)) -> tuple[int, int]:
    """How many different lefts and tops the panels of four runs have."""
    shown = scene(*(synthetic_run(steps=2) for _ in range(4)), panels="x0")
    assert shown.comparison is not None
    told = replace(shown.comparison, across=across)
    panels = Composer(replace(shown, comparison=told), size=size).layout.panels
    return len({place.box.x for place in panels}), len({place.box.y for place in panels})


def test_runs_in_a_row_or_a_column() -> None:
    assert corners(4) == (4, 1)
    assert corners(1) == (1, 4)
    assert corners(2) == (2, 2)


def test_a_single_column_is_no_tower() -> None:
    """Images stay at their own size, rather than as wide as the picture."""
    shown = scene(*(synthetic_run(steps=2, shape=(4, 3, 64, 64)) for _ in range(3)), panels="x0")
    assert shown.comparison is not None
    layout = Composer(replace(shown, comparison=replace(shown.comparison, across=1)), size=(830, None)).layout
    assert layout.height <= 1.25 * 830
    assert layout.panels[0].cells[0].width == 64


def test_a_row_that_does_not_fit_is_broken() -> None:
    assert corners(4, (480, None)) == corners(None, (480, None)) == (3, 2)


def test_low_rows_have_their_text_on_the_right() -> None:
    """Three rows in Full HD leave no height for a small panel and text below it."""
    shown = scene(*(synthetic_run(steps=2, shape=(4, 3, 64, 64)) for _ in range(9)))
    assert shown.comparison is not None
    table = replace(shown, comparison=replace(shown.comparison, across=3))
    layout = Composer(table, size=(1920, 1080)).layout
    assert isinstance(layout, ColumnsLayout)
    large, small, aside = layout.panels[0].box, layout.panels[1].box, layout.asides[0]
    assert large.right < small.x < small.right < aside.x
    assert large.y == small.y == aside.y
    assert large.height >= 2 * 64, "images keep their own size"
    narrow = Composer(table, size=(830, None)).layout
    assert isinstance(narrow, ColumnsLayout)
    assert narrow.asides[0].y > narrow.panels[1].box.y, "with room below, it is there"
