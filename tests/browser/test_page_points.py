"""Points in the plane in a page: drawn where they were recorded, at each step, and told when one points at them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffanim import Trajectory
from diffanim.drawing.themes import THEMES, Theme
from diffanim.scenes.views import PLANE_SIZE, PointsView, view_of
from support.played import page_of
from support.points import points_run
from support.visits import Visit, Visiting

pytestmark = pytest.mark.browser

STEPS = 5
ONLY_CHROMIUM = pytest.mark.parametrize("browser", ["chromium"], indirect=True)
"""Where Firefox would only do the same again, or Playwright has no such thing for it, as for another scheme."""


@pytest.fixture(scope="module")
def run() -> Trajectory:
    return points_run(steps=STEPS, particles=30, labels=("inner", "outer") * 15)


@pytest.fixture(scope="module")
def page(run: Trajectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(run, tmp_path_factory.mktemp("pages") / "points.html", panels="x,x0,field,density,paths")


@pytest.fixture(scope="module")
def single() -> Trajectory:
    """One particle, which nothing else is drawn over."""
    return points_run(steps=STEPS, particles=1, ideal=None)


@pytest.fixture(scope="module")
def single_page(single: Trajectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(single, tmp_path_factory.mktemp("pages") / "single.html", panels="x0,x")


def spot(place: np.ndarray, runs: Sequence[Trajectory]) -> tuple[float, float]:
    """Where a place of a run is in a panel, in parts of it from the top left."""
    reach = 0.0
    for run in runs:
        view = view_of(run)
        assert isinstance(view, PointsView)
        reach = max(reach, view.reach)
    height, width = PLANE_SIZE
    x, y = map(float, place)
    return 0.5 + x / (2 * reach * width / height), 0.5 - y / (2 * reach)


def canvas(player: Visit, panel: str, run: int = 0) -> Any:
    return player.at(f'figure[data-panel="{panel}"][data-run="{run}"] canvas.plane')


def middle_of(picture: np.ndarray, colour: tuple[int, int, int]) -> tuple[float, float]:
    """Of what has a colour, in parts of the picture."""
    y, x = np.nonzero(np.abs(picture.astype(float) - colour).sum(-1) < 40)
    assert len(x), "nothing has that colour"
    return (x.mean() + 0.5) / picture.shape[1], (y.mean() + 0.5) / picture.shape[0]


def has_at(picture: np.ndarray, place: tuple[float, float], colour: tuple[int, int, int]) -> bool:
    height, width, _ = picture.shape
    pixel = picture[int(place[1] * height), int(place[0] * width)]
    return bool(np.abs(pixel.astype(float) - colour).sum() < 40)


def point(player: Visit, panel: str, place: tuple[float, float], run: int = 0) -> None:
    canvas(player, panel, run).scroll_into_view_if_needed()
    box = canvas(player, panel, run).bounding_box()
    assert box is not None
    player.page.mouse.move(box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"])


def told(player: Visit, panel: str, run: int = 0) -> str:
    return str(player.at(f'figure[data-panel="{panel}"][data-run="{run}"] .value').inner_text())


def theme_of(player: Visit) -> Theme:
    """The one that the browser prefers."""
    return THEMES["dark" if player.frame.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"]


def alone_in(places: np.ndarray) -> list[int]:
    """The two particles near the middle that are furthest from others."""
    apart = np.linalg.norm(places[:, None] - places, axis=-1) + np.eye(len(places)) * 9
    near = np.abs(places).max(1) < 1.2
    return [int(number) for number in np.argsort(np.where(near, apart.min(1), 0))[-2:]]


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"[+-]\d+\.\d+", text.replace("\N{MINUS SIGN}", "-"))]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_particle_is_where_it_was_recorded(
    visit: Visiting, single_page: Path, single: Trajectory, scheme: str
) -> None:
    """At every step, forwards and back; x̂0 in the colour of the data, and joined to its x_t."""
    player = visit(single_page, color_scheme=scheme, device_scale_factor=2)
    theme = theme_of(player)
    for row in [*range(STEPS + 1), 3, 1]:
        player.at("#step").evaluate("(slider, row) => { slider.value = row }", row)
        player.at("#step").dispatch_event("input")
        player.until(row + 1)
        shown = player.pixels()
        guess = single.x0[row] if row < STEPS else single.x[row]
        where = spot(guess[0], [single]), spot(single.x[row][0], [single])
        for (panel, ink), place in zip((("x0", theme.signal), ("x", theme.noise)), where, strict=True):
            picture = shown[0, panel, 0]
            assert has_at(picture, place, theme.strong), (panel, row)
            if panel == "x":
                np.testing.assert_allclose(middle_of(picture, ink), place, atol=1.5 / picture.shape[0])
    assert tuple(shown[0, "x", 0][1, 1]) == theme.background
    size = canvas(player, "x").evaluate("canvas => [canvas.width, canvas.clientWidth]")
    assert size[0] == 2 * size[1], "as sharp as the screen"


@ONLY_CHROMIUM
def test_colours_follow_the_reader_at_once(visit: Visiting, single_page: Path) -> None:
    player = visit(single_page, color_scheme="light")
    player.until(1)
    assert tuple(player.pixels()[0, "x", 0][1, 1]) == THEMES["light"].background
    player.page.emulate_media(color_scheme="dark")
    player.wait("document.querySelector('canvas.plane').getContext('2d').getImageData(1, 1, 1, 1).data[0] < 99")
    assert tuple(player.pixels()[0, "x", 0][1, 1]) == THEMES["dark"].background


def test_the_particle_pointed_at_is_told_and_marked(visit: Visiting, page: Path, run: Trajectory) -> None:
    player = visit(page, "step=3&play=0", color_scheme="dark")
    player.until(3)
    strong = theme_of(player).strong
    for particle in (chosen := alone_in(run.x[2])):
        x, x0 = run.x[2][particle], run.x0[2][particle]
        for panel in ("x", "density"):
            point(player, panel, spot(x, [run]))
            player.wait(f"document.querySelector('.value').textContent.startsWith('#{particle + 1} ')")
            for shown in ("x", "field", "density", "paths"):
                assert told(player, shown).endswith(("inner", "outer")[particle % 2])
                np.testing.assert_allclose(numbers(told(player, shown)), x, atol=0.00051)
                assert has_at(player.pixels()[0, shown, 0], spot(x, [run]), strong), shown
            np.testing.assert_allclose(numbers(told(player, "x0")), x0, atol=0.00051)
            assert has_at(player.pixels()[0, "x0", 0], spot(x0, [run]), strong)
    player.press("ArrowRight")
    player.until(4)
    np.testing.assert_allclose(numbers(told(player, "x0")), run.x0[3][chosen[-1]], atol=0.00051)
    player.page.mouse.move(2, 2)
    player.wait("!document.querySelector('.value').textContent")
    assert not has_at(player.pixels()[0, "density", 0], spot(run.x[3][chosen[-1]], [run]), strong)


@ONLY_CHROMIUM
def test_away_from_particles_the_place_itself_is_told(visit: Visiting, page: Path, run: Trajectory) -> None:
    player = visit(page, "step=6&play=0")
    player.until(STEPS + 1)
    view = view_of(run)
    assert isinstance(view, PointsView)
    point(player, "x0", (0.02, 0.04))
    found = told(player, "field")
    assert "#" not in found
    wide = view.reach * PLANE_SIZE[1] / PLANE_SIZE[0]
    np.testing.assert_allclose(numbers(found), (-0.96 * wide, 0.92 * view.reach), atol=0.02)


def test_particles_by_keyboard(visit: Visiting, page: Path, run: Trajectory) -> None:
    """With shift, an arrow goes to one that is further that way."""
    player = visit(page, "step=2&play=0")
    player.until(2)
    canvas(player, "x0").locator("..").focus()
    player.press("Shift+ArrowRight")
    seen = [run.x0[1][0]]
    for key, axis, way in (("Right", 0, 1), ("Up", 1, 1), ("Left", 0, -1), ("Down", 1, -1)):
        if key != "Right":
            player.press(f"Shift+Arrow{key}")
        number = int(told(player, "x0").split()[0][1:]) - 1
        np.testing.assert_allclose(numbers(told(player, "x0")), run.x0[1][number], atol=0.00051)
        np.testing.assert_allclose(numbers(told(player, "x")), run.x[1][number], atol=0.00051)
        moved = way * (run.x0[1][:, axis] - seen[-1][axis])
        assert moved[number] > 0 or moved.max() <= 0, key
        seen.append(run.x0[1][number])
    player.press("Escape")
    assert told(player, "x") == ""


@ONLY_CHROMIUM
def test_particles_by_touch(visit: Visiting, page: Path, run: Trajectory) -> None:
    player = visit(page, "step=3&play=0", has_touch=True, viewport={"width": 360, "height": 740})
    player.until(3)
    canvas(player, "x0").scroll_into_view_if_needed()
    box = canvas(player, "x0").bounding_box()
    place = spot(run.x0[2][4], [run])
    player.page.touchscreen.tap(box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"])
    number = int(told(player, "x").split()[0][1:]) - 1
    np.testing.assert_allclose(run.x0[2][number], run.x0[2][4], atol=0.3)
    np.testing.assert_allclose(numbers(told(player, "x")), run.x[2][number], atol=0.00051)
    player.page.touchscreen.tap(box["x"] + 3, box["y"] + 3)
    assert told(player, "x") == ""


@ONLY_CHROMIUM
def test_what_is_behind_particles_is_of_the_step(visit: Visiting, tmp_path: Path) -> None:
    """Arrows are there while there is noise, and the highest density has the strongest ink."""
    run = points_run(steps=STEPS, particles=4)
    player = visit(page_of(run, tmp_path / "run.html", panels="field,density"), color_scheme="dark")
    strong, seen = THEMES["dark"].strong, []
    for step in range(1, STEPS + 2):
        player.until(step)
        shown = player.pixels()
        arrows = (np.abs(shown[0, "field", 0].astype(float) - strong).sum(-1) < 400).mean()
        assert (arrows > 0.02) == (step <= STEPS)
        assert np.abs(shown[0, "density", 0].astype(float) - strong).sum(-1).min() < (30 if step < STEPS else 90)
        seen += [shown[0, "field", 0].tobytes(), shown[0, "density", 0].tobytes()]
        player.press("ArrowRight")
    assert len({*seen}) == len(seen)


def test_runs_that_are_compared_mark_the_same_particle(visit: Visiting, tmp_path: Path) -> None:
    runs = [points_run("flow", steps=3, particles=9), points_run("preserving", steps=3, particles=6)]
    player = visit(page_of(runs, tmp_path / "runs.html", align="step", panels="x0,x"))
    player.until(1)
    point(player, "x", spot(runs[0].x[0][4], runs))
    for number, run in enumerate(runs):
        np.testing.assert_allclose(numbers(told(player, "x", number)), run.x[0][4], atol=0.00051)
        np.testing.assert_allclose(numbers(told(player, "x0", number)), run.x0[0][4], atol=0.00051)
    point(player, "x", spot(runs[0].x[0][8], runs))
    assert told(player, "x").startswith("#9 ")
    assert "#" not in told(player, "x", 1), "it has fewer"


@ONLY_CHROMIUM
@pytest.mark.parametrize("width", [360, 830, 1920])
def test_nothing_moves(visit: Visiting, page: Path, width: int) -> None:
    player = visit(page, viewport={"width": width, "height": 800})
    player.until(1)
    player.wait("noticed.boxes.length >= 30")
    first, *others = player.frame.evaluate("noticed.boxes")
    assert all(boxes == first for boxes in others)
    assert player.frame.evaluate("noticed.shifts") == 0
    parts = """() => [...document.querySelectorAll("figure.panel, .image, svg, #step, footer")].map(part => {
      const {x, y, width, height} = part.getBoundingClientRect();
      return [x, y + scrollY, width, height];
    })"""
    before = player.frame.evaluate(parts)
    for step in range(2, STEPS + 2):
        player.press("ArrowRight")
        player.until(step)
        point(player, "x", (0.5, 0.5))
        np.testing.assert_allclose(player.frame.evaluate(parts), before, atol=0.02)  # Scrolled, numbers are rounded.
    assert player.frame.evaluate("document.documentElement.scrollWidth <= innerWidth")


@ONLY_CHROMIUM
def test_another_size_is_drawn_anew(visit: Visiting, page: Path, run: Trajectory) -> None:
    player = visit(page, viewport={"width": 1400, "height": 900}, color_scheme="dark")
    player.until(1)
    player.press("3", "4", "5")
    player.wait("document.querySelectorAll('.panel:not([hidden])').length == 2")
    for width in (1400, 700):
        player.page.set_viewport_size({"width": width, "height": 900})
        fits = (
            "[...document.querySelectorAll('.panel:not([hidden]) canvas')].every(one => one.width == one.clientWidth)"
        )
        player.wait(fits)
        assert has_at(player.pixels()[0, "x", 0], spot(run.x[0][0], [run]), THEMES["dark"].strong)


@ONLY_CHROMIUM
def test_on_paper_it_is_light_and_drawn(visit: Visiting, page: Path) -> None:
    player = visit(page, color_scheme="dark")
    player.until(1)
    player.page.emulate_media(media="print")
    drawn = player.at(".sheet canvas").evaluate_all(
        "all => all.map(one => Array.from(one.getContext('2d').getImageData(1, 1, 1, 1).data))"
    )
    assert len(drawn) == 5 * player.at(".sheet thead th").count()
    x = [drawn[column] for column in range(player.at(".sheet thead th").count())]
    assert max(min(pixel[:3]) for pixel in x) > 200
    assert player.at(".sheet canvas").first.is_visible()


@ONLY_CHROMIUM
def test_without_scripts_there_is_a_picture(visit: Visiting, page: Path) -> None:
    player = visit(page, java_script_enabled=False)
    sizes = player.at("noscript img").count()
    assert sizes == 5
    assert player.at("noscript img").first.is_visible()


@ONLY_CHROMIUM
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1920])
def test_axe_finds_no_violation(visit: Visiting, page: Path, from_npm: Path, width: int, scheme: str) -> None:
    player = visit(page, viewport={"width": width, "height": 900}, color_scheme=scheme)
    player.until(1)
    player.frame.evaluate((from_npm / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = player.frame.evaluate("axe.run().then(results => results.violations)")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
