from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from diffanim.drawing.layout import (
    LECTURE_SIZE,
    README_WIDTH,
    SMALLEST_TEXT,
    SMALLEST_WIDTH,
    Box,
    Layout,
    LineHeights,
    arrange,
    best_grid,
    shown_size,
    text_size,
)
from diffanim.errors import SettingsError


def lines(width: int, height: int | None = None) -> LineHeights:
    em = text_size(width, height)
    return LineHeights((em, em // 3), (round(1.4 * em), em // 2), (round(1.3 * em), em // 3))


def apart(one: Box, other: Box) -> bool:
    return one.right <= other.x or other.right <= one.x or one.bottom <= other.y or other.bottom <= one.y


def check(layout: Layout, count: int, beside: int = 2) -> None:
    cells = [cell for panel in layout.panels for cell in panel.cells]
    assert all(len(panel.cells) == count for panel in layout.panels)
    for cell in cells:
        assert cell.x % 2 == 0
        assert cell.y % 2 == 0
        assert cell.x > 0
        assert cell.right < layout.width
        assert cell.y > layout.title.baseline
        assert cell.bottom < layout.strip.y
    assert all(apart(*pair) for pair in combinations(cells, 2))
    for panel in layout.panels:
        assert all(panel.box.x <= c.x and c.right <= panel.box.right for c in panel.cells)
        assert all(panel.box.y <= c.y and c.bottom <= panel.box.bottom for c in panel.cells)
    rows = [layout.panels[start : start + beside] for start in range(0, len(layout.panels), beside)]
    assert all(left.box.right < right.box.x for row in rows for left, right in pairwise(row))
    for upper, lower in pairwise(rows):
        assert max(panel.box.bottom for panel in upper) < min(panel.caption.baseline for panel in lower)
        assert all(one.box.x == other.box.x for one, other in zip(upper, lower, strict=False))
    assert layout.strip.bottom < layout.legend.baseline < layout.height
    assert layout.strip.x == layout.panels[0].box.x == layout.title.x
    assert layout.strip.right == rows[0][-1].box.right == layout.title.right


@example(count=2, image=(8, 8), width=240, height=200, panels=4, beside=4)
@given(
    count=st.integers(1, 20),
    image=st.tuples(st.integers(8, 600), st.integers(8, 600)),
    width=st.integers(SMALLEST_WIDTH, 2600),
    height=st.none() | st.integers(200, 1600),
    panels=st.integers(1, 4),
    beside=st.integers(1, 4),
)
def test_whatever_fits_lies_inside_and_apart(
    count: int, image: tuple[int, int], width: int, height: int | None, panels: int, beside: int
) -> None:
    text = lines(width, height)
    try:
        layout = arrange(count, image, width=width, height=height, lines=text, panels=panels, beside=beside)
    except SettingsError:
        assert panels > beside, "only several rows of panels are too high"
        return
    check(layout, count, beside)
    if height is None:
        assert layout.width <= width
        assert layout.width % 2 == layout.height % 2 == 0
    else:
        assert (layout.width, layout.height) == (width, height)


@given(
    columns=st.integers(1, 9),
    clips=st.integers(1, 4),
    image=st.tuples(st.integers(8, 600), st.integers(8, 600)),
    width=st.integers(SMALLEST_WIDTH, 2600),
    height=st.none() | st.integers(200, 1600),
)
def test_rows_of_frames_and_panels_below_each_other(
    columns: int, clips: int, image: tuple[int, int], width: int, height: int | None
) -> None:
    text = lines(width, height)
    layout = arrange(columns * clips, image, width=width, height=height, lines=text, beside=1, columns=columns)
    upper, lower = layout.panels
    assert upper.box.x == lower.box.x == layout.strip.x
    assert upper.box.right == lower.box.right == layout.strip.right <= layout.width
    assert layout.title.baseline < upper.caption.baseline < upper.box.y < upper.box.bottom < lower.caption.baseline
    assert lower.caption.baseline < lower.box.y < lower.box.bottom < layout.strip.y
    assert layout.legend.baseline < layout.height == (height or layout.height)
    for place in layout.panels:
        for k, cell in enumerate(place.cells):
            assert place.box.x <= cell.x < cell.right <= place.box.right
            assert place.box.y <= cell.y < cell.bottom <= place.box.bottom
            assert (cell.y == place.cells[0].y) == (k < columns), "as many frames in a row as a clip has"


@pytest.mark.parametrize("count", [*range(1, 17), 25])
@pytest.mark.parametrize(
    ("width", "height"), [(480, None), (640, None), (README_WIDTH, None), (1280, 720), LECTURE_SIZE]
)
def test_usual_pictures_of_usual_images(count: int, width: int, height: int | None) -> None:
    for image in ((28, 28), (32, 32), (64, 64), (256, 256), (512, 512), (64, 128), (128, 64)):
        check(arrange(count, image, width=width, height=height, lines=lines(width, height)), count)


@pytest.mark.parametrize(
    ("count", "grid"),
    [(1, (1, 1)), (2, (2, 1)), (3, (2, 2)), (4, (2, 2)), (5, (3, 2)), (6, (3, 2)), (9, (3, 3)), (16, (4, 4))],
)
def test_grids_of_square_images_in_a_square(count: int, grid: tuple[int, int]) -> None:
    best = best_grid(count, (64, 64), (780, 780), gap=4, smooth=False)
    assert (best.columns, best.rows) == grid


def test_no_other_grid_has_noticeably_larger_images() -> None:
    for count in range(1, 17):
        best = best_grid(count, (64, 128), (780, 500), gap=4, smooth=False)
        for columns in range(1, count + 1):
            rows = -(-count // columns)
            cell = ((780 - 4 * (columns - 1)) // columns // 2 * 2, (500 - 4 * (rows - 1)) // rows // 2 * 2)
            width, height = shown_size((64, 128), cell, smooth=False)
            assert 1.15 * best.cell_width * best.cell_height > width * height


@pytest.mark.parametrize(
    ("image", "cell", "smooth", "shown"),
    [
        ((64, 64), (400, 400), False, (384, 384)),  # six times
        ((64, 64), (127, 127), False, (64, 64)),  # not 1.98 times
        ((256, 256), (390, 390), False, (256, 256)),
        ((256, 256), (390, 390), True, (390, 390)),  # here it fills the cell
        ((256, 256), (300, 300), True, (256, 256)),  # not worth it
        ((64, 64), (390, 390), True, (384, 384)),  # small ones stay sharp
        ((512, 512), (390, 390), False, (390, 390)),
        ((512, 256), (390, 390), False, (196, 390)),
    ],
)
def test_how_large_an_image_is_shown(
    image: tuple[int, int], cell: tuple[int, int], smooth: bool, shown: tuple[int, int]
) -> None:
    assert shown_size(image, cell, smooth=smooth) == shown


def test_text_is_never_too_small_to_read() -> None:
    sizes = [text_size(width, None) for width in range(SMALLEST_WIDTH, 4000, 10)]
    assert min(sizes) == SMALLEST_TEXT
    assert sizes == sorted(sizes)
    assert text_size(*LECTURE_SIZE) == 32


@pytest.mark.parametrize(("width", "height"), [(100, None), (239, 500), (300, 60), (1920, 0), (-5, None)])
def test_too_small_a_picture(width: int, height: int | None) -> None:
    with pytest.raises(SettingsError, match="pixels"):
        arrange(4, (64, 64), width=width, height=height, lines=lines(480))
