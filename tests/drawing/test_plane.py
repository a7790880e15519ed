"""Pictures of points in the plane: what is drawn is where it belongs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from diffanim.drawing.plane import DrawnPlane
from diffanim.drawing.strokes import Ink, Strokes, discs
from diffanim.drawing.themes import THEMES
from diffanim.scenes.plane import Field, Followed, Particles, Plane

DARK = THEMES["dark"]
EM = 32
WIDTH, HEIGHT = 480, 400


def covers(strokes: Strokes, height: int = 60, width: int = 80) -> np.ndarray:
    """How much of each pixel strokes cover: [height, width], 0 to 1."""
    picture = np.zeros((height, width, 3), np.uint8)
    Ink(height, width).draw(picture, strokes, (255, 255, 255))
    return np.divide(picture[..., 0], 255, dtype=np.float64)


def middle_of(mask: np.ndarray) -> np.ndarray:
    """The centre of mass, x and y."""
    y, x = np.indices(mask.shape) + 0.5
    return np.array([(x * mask).sum() / mask.sum(), (y * mask).sum() / mask.sum()])


def drawn(plane: Plane, width: int = WIDTH, height: int = HEIGHT) -> DrawnPlane:
    return DrawnPlane(plane, width, height, DARK, EM)


def likeness(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """How much of a colour over the background each pixel has, without the frame."""
    way = np.array(colour, float) - DARK.background
    parts = ((picture - np.array(DARK.background, float)) @ way / (way @ way)).clip(0, 1)
    parts[:2] = parts[-2:] = 0
    parts[:, :2] = parts[:, -2:] = 0
    return np.asarray(parts)


@pytest.mark.parametrize("radius", [1.5, 4.2])
def test_a_disc_has_its_area_and_its_middle(radius: float) -> None:
    for x, y in ((40.0, 30.0), (40.3, 29.8), (12.77, 45.5)):
        mask = covers(discs(np.array([[x, y]]), radius))
        assert mask.sum() == pytest.approx(np.pi * radius**2, rel=0.05)
        np.testing.assert_allclose(middle_of(mask), (x, y), atol=0.08)


def test_a_line_is_as_thick_in_all_directions() -> None:
    for degrees in range(0, 360, 15):
        way = 20 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
        start = np.array([[40.2, 30.4]])
        mask = covers(Strokes(start, start + way, (0.8, 0.8)))
        assert mask.sum() == pytest.approx(1.6 * 20 + np.pi * 0.8**2, rel=0.06), degrees
        np.testing.assert_allclose(middle_of(mask), (start + way / 2)[0], atol=0.1)


def test_a_head_is_a_triangle_on_a_straight_edge() -> None:
    mask = covers(Strokes(np.array([[20.0, 30.0]]), np.array([[40.0, 30.0]]), (6.0, 0.0), flat=True))
    assert mask[:, :19].sum() == 0
    widths = mask.sum(0)
    assert widths[21] == pytest.approx(11.4, abs=1.0)
    assert widths[30] == pytest.approx(6, abs=1.0)
    assert mask.sum() == pytest.approx(20 * 12 / 2, rel=0.1)


def test_lines_do_not_darken_where_they_cross() -> None:
    starts, ends = np.array([[10.0, 30], [40, 5]]), np.array([[70.0, 30], [40, 55]])
    mask = covers(Strokes(starts, ends, (2.0, 2.0), opacity=0.5))
    assert mask.max() == pytest.approx(0.5, abs=0.01)


def test_what_is_outside_leaves_the_picture_alone() -> None:
    far = np.array([[-50.0, 30], [1e9, 20], [40, -1e7]])
    assert covers(discs(far, 4.0)).sum() == 0
    assert covers(Strokes(far, far + 3, (1.0, 1.0))).sum() == 0


@pytest.mark.parametrize(("width", "height"), [(480, 400), (288, 240), (300, 310)])
def test_a_particle_is_where_it_belongs(width: int, height: int) -> None:
    for x, y in product((-1.3, 0.0, 0.7), (-0.9, 0.4)):
        plane = Plane(2.0, 1, particles=Particles(np.array([[[x, y]]]), "noise"))
        found = middle_of(likeness(drawn(plane, width, height).at(0), DARK.noise))
        unit = min(width, height) / 4
        np.testing.assert_allclose(found, (width / 2 + unit * x, height / 2 - unit * y), atol=0.5)


def test_trails_go_through_the_rows_before() -> None:
    places = np.array([[[-1.0, 1.0]], [[-1.0, -1.0]], [[1.0, -1.0]], [[1.0, 1.0]]])
    plane = Plane(2.0, 4, particles=Particles(places, "noise", trail=2))
    mask = likeness(drawn(plane).at(3), DARK.noise)

    def along(start: tuple[float, float], end: tuple[float, float]) -> float:
        spots = drawn(plane).positions(np.linspace(start, end, 7)[1:-1])
        return float(np.mean([mask[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].max() for x, y in spots]))

    last, before, oldest = along((1, -1), (1, 1)), along((-1, -1), (1, -1)), along((-1, 1), (-1, -1))
    assert last > before > 0.1
    assert oldest == 0


def test_paths_are_those_so_far_in_any_order() -> None:
    places = np.cumsum(np.random.default_rng(0).normal(0, 0.2, (6, 30, 2)), 0)
    plane = Plane(2.0, 6, particles=Particles(places, "noise", trail=5, fading=False, lines=20))
    kept = drawn(plane)
    forwards = [kept.at(row) for row in range(6)]
    for row in (5, 2, 4, 0):
        np.testing.assert_array_equal(kept.at(row), forwards[row])
        np.testing.assert_array_equal(drawn(plane).at(row), forwards[row])
    inked = [likeness(picture, DARK.noise).sum() for picture in forwards]
    assert inked == sorted(inked)


def test_the_followed_particle_is_marked_with_its_path() -> None:
    path = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    plane = Plane(2.0, 3, followed=Followed(path[:, None], 0, "signal"))
    strong = likeness(drawn(plane).at(1), DARK.strong)
    spots = drawn(plane).positions(np.array([[-0.5, 0.0], [0.5, 0.0]])).astype(int)
    assert strong[spots[0][1] - 1 : spots[0][1] + 2, spots[0][0]].max() > 0.6
    assert strong[spots[1][1] - 1 : spots[1][1] + 2, spots[1][0]].max() == 0


def arrows(vector: tuple[float, float], *, measured: bool = False) -> np.ndarray:
    """A field that is the same everywhere but at the left, where it is a quarter as long."""

    def vectors(places: np.ndarray, row: int) -> np.ndarray | None:
        if row:
            return None
        sizes = np.where(places[:, :1] < 0, 0.25, 1.0)
        return np.asarray((sizes * np.array(vector))[None])

    return drawn(Plane(2.0, 2, field=Field(vectors, ("strong",), measured=measured))).at(0)


def test_arrows_point_up_where_y_grows() -> None:
    """The heads, which are wider, are in the upper part of each cell."""
    picture = likeness(arrows((0.0, 1.0)), DARK.strong)
    columns = max(min(24, int(WIDTH / (1.1 * EM))), 4)
    cell = WIDTH / columns
    rows = round(HEIGHT / cell)
    tall = HEIGHT / rows
    cells = [picture[round(tall * row) : round(tall * (row + 1))] for row in range(1, rows - 1)]
    upper = sum(part[: len(part) // 2].sum() for part in cells)
    lower = sum(part[len(part) // 2 :].sum() for part in cells)
    assert upper > 1.08 * lower


def test_lengths_mean_something_only_where_they_are_measured() -> None:
    for measured, ratio in ((False, 1.0), (True, 0.25)):
        picture = likeness(arrows((1.0, 0.0), measured=measured), DARK.strong)
        left, right = picture[:, : WIDTH // 2].sum(), picture[:, WIDTH // 2 :].sum()
        assert left / right == pytest.approx(ratio, abs=0.12)


def test_nothing_is_drawn_where_a_field_has_nothing() -> None:
    plane = Plane(2.0, 1, field=Field(lambda _places, _row: None, ("strong",)))
    np.testing.assert_array_equal(drawn(plane).at(0), drawn(Plane(2.0, 1)).at(0))


def test_the_density_is_the_right_way_up() -> None:
    def density(across: np.ndarray, down: np.ndarray, _row: int) -> np.ndarray:
        x, y = ((edges[1:] + edges[:-1]) / 2 for edges in (across, down))
        return np.asarray(np.exp(-((x - 1) ** 2) * 8 - (y[:, None] - 0.8) ** 2 * 8))

    picture = drawn(Plane(2.0, 1, density=density)).at(0).astype(int)
    brightest = np.unravel_index(picture.sum(-1)[3:-3, 3:-3].argmax(), (HEIGHT - 6, WIDTH - 6))
    np.testing.assert_allclose(brightest, (HEIGHT / 2 - 0.8 * 100 - 3, WIDTH / 2 + 100 - 3), atol=6)


def test_a_row_that_is_not_there() -> None:
    with pytest.raises(IndexError, match="rows 0 to 0, not 1"):
        drawn(Plane(2.0, 1)).at(1)
