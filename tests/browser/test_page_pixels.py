"""Every step of a page shows what was recorded of that step, and its values."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from diffanim import Trajectory
from support.played import STEPS, page_of, pixels_of, small_run, smooth_run
from support.visits import Visit, Visiting

pytestmark = pytest.mark.browser

LONG = 40


@pytest.fixture(scope="module")
def run() -> Trajectory:
    return small_run()


@pytest.fixture(scope="module")
def long_run() -> Trajectory:
    return small_run(LONG, 8)


@pytest.fixture(scope="module")
def long_page(long_run: Trajectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(long_run, tmp_path_factory.mktemp("pages") / "long.html")


def assert_shown(player: Visit, run: Trajectory, row: int) -> None:
    """All images of both panels are those of a row."""
    player.until(row + 1)
    shown = player.pixels()
    assert sorted(shown) == sorted((0, panel, image) for panel in ("x", "x0") for image in range(4))
    for (_, panel, image), pixels in shown.items():
        np.testing.assert_array_equal(pixels, pixels_of(run, panel, row)[image], f"{panel} of image {image} at {row}")


def test_every_step_shows_its_own_pixels(visit: Visiting, page: Path, run: Trajectory) -> None:
    player = visit(page)
    for row in range(STEPS + 1):
        assert_shown(player, run, row)
        player.press("ArrowRight")
    for row in reversed(range(STEPS)):
        player.press("ArrowLeft")
        assert_shown(player, run, row)


def test_jumps_show_the_step_jumped_to(visit: Visiting, long_page: Path, long_run: Trajectory) -> None:
    """Far from what is decoded already, and faster than it can be."""
    player = visit(long_page, "step=24&play=0")
    assert_shown(player, long_run, 23)
    player.press("End")
    assert_shown(player, long_run, LONG)
    player.press("Home")
    assert_shown(player, long_run, 0)
    for last in (31, 7):
        player.frame.evaluate(
            """(last) => {
              const slider = document.querySelector("#step");
              for (const step of [39, 2, 25, 11, last]) {
                slider.value = step;
                slider.dispatchEvent(new Event("input", {bubbles: true}));
              }
            }""",
            last,
        )
        assert_shown(player, long_run, last)


def test_playing_shows_the_steps_in_turn(visit: Visiting, long_page: Path, long_run: Trajectory) -> None:
    """What is said to be shown is shown at that very moment, also while it plays."""
    player = visit(long_page)
    player.until(1)
    seen = player.frame.evaluate(
        """(count) => new Promise(resolve => {
          const main = document.querySelector("main"), seen = [];
          new MutationObserver(() => {
            const held = {};
            for (const panel of ["x", "x0"]) {
              const canvas = document.querySelector(`figure[data-panel="${panel}"] canvas[data-image="1"]`);
              const brush = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
              brush.drawImage(canvas, 0, 0);
              held[panel] = Array.from(brush.getImageData(2, 3, 1, 1).data.slice(0, 3));
            }
            seen.push([+main.dataset.shown, held]);
            if (seen.length == count) resolve(seen);
          }).observe(main, {attributes: true, attributeFilter: ["data-shown"]});
          document.querySelector("#play").click();
        })""",
        6,
    )
    assert [step for step, _ in seen] == [2, 3, 4, 5, 6, 7]
    for step, held in seen:
        for panel, colour in held.items():
            assert colour == pixels_of(long_run, panel, step - 1)[1, 3, 2].tolist(), (panel, step)


def test_a_page_of_every_nth_step_shows_those_steps(visit: Visiting, long_run: Trajectory, tmp_path: Path) -> None:
    page = page_of(long_run, tmp_path / "small.html", max_size=100_000)
    assert page.stat().st_size <= 100_000
    player = visit(page)
    shown = []
    while not player.label.startswith("after"):
        step = player.step
        assert_shown(player, long_run, step - 1)
        assert player.label.startswith((f"step {step} of {LONG}", "after"))
        shown.append(step)
        player.press("ArrowRight")
        player.wait(f"document.querySelector('main').dataset.shown != {step}")
    assert_shown(player, long_run, LONG)
    assert 2 < len(shown) < LONG
    assert len(set(np.diff(shown))) == 1
    assert "step is shown" in player.at("main").inner_text()


def test_large_pictures_are_compressed_and_it_is_said(visit: Visiting, tmp_path: Path) -> None:
    smooth = smooth_run(136)
    player = visit(page_of(smooth, tmp_path / "large.html"))
    player.until(1)
    assert "compressed" in player.at("main").inner_text()
    for (_, panel, image), pixels in player.pixels().items():
        recorded = pixels_of(smooth, panel, 0)[image].astype(float)
        assert pixels.shape == recorded.shape
        assert np.abs(pixels - recorded).mean() < 4


def test_runs_side_by_side_show_their_own_pixels(visit: Visiting, tmp_path: Path) -> None:
    """After equally many calls; the shorter one waits at its end."""
    runs = [small_run(3, 8), small_run(6, 8)]
    player = visit(page_of(runs, tmp_path / "both.html", align="calls"))
    for moment in range(7):
        player.until(moment + 1)
        for (number, panel, image), pixels in player.pixels().items():
            row = min(moment, runs[number].steps)
            np.testing.assert_array_equal(pixels, pixels_of(runs[number], panel, row)[image])
        player.press("ArrowRight")


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"[+-]?\d+\.\d+", text.replace("\N{MINUS SIGN}", "-"))]


def said_values(player: Visit, panel: str) -> list[float]:
    player.wait(f"document.querySelector('figure[data-panel={panel}] .value').textContent")
    return numbers(player.at(f'figure[data-panel="{panel}"] .value').inner_text())


def test_values_under_the_pointer_are_those_recorded(visit: Visiting, run: Trajectory, tmp_path: Path) -> None:
    """To half a level, or beyond black and white to half a hundredth of the range; and two decimal places."""
    player = visit(page_of(run, tmp_path / "values.html", panels="x,x0,eps"), "step=3&play=0")
    player.until(3)
    epsilon = (run.x[2] - run.signal[2] * run.x0[2]) / run.noise[2]
    furthest = np.abs(run.x[2][3]).max(axis=0)
    row, column = map(int, np.unravel_index(furthest.argmax(), furthest.shape))
    assert furthest.max() > 1.5
    for image, y, x in ((3, row, column), (0, 0, 15), (1, 7, 4)):
        player.point_at("x", image, y, x)
        for panel, recorded, white in (("x", run.x[2], 1), ("x0", run.x0[2], 1), ("eps", epsilon, 3)):
            wanted = recorded[image, :, y, x]
            tolerance = white * np.where(np.abs(wanted) > white, 1 / 100, 1 / 255) + 0.0051
            assert (np.abs(said_values(player, panel) - wanted) <= tolerance).all(), (panel, image)


def test_values_by_keyboard(visit: Visiting, page: Path, run: Trajectory) -> None:
    player = visit(page)
    player.until(1)
    player.at('figure[data-panel="x0"] .image[data-image="1"]').focus()
    player.press("Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowUp")
    for panel, recorded in (("x", run.x[0]), ("x0", run.x0[0])):
        assert np.abs(said_values(player, panel) - recorded[1, :, 6, 9]).max() <= 0.0151
    player.press("Escape")
    assert player.at('figure[data-panel="x"] .value').inner_text() == ""


def test_lens_shows_the_same_place_in_every_panel(visit: Visiting, page: Path, run: Trajectory) -> None:
    """The pixel is in its middle, enlarged."""
    player = visit(page, "step=4&play=0")
    player.until(4)
    player.point_at("x0", 2, 9, 6)
    for panel in ("x", "x0"):
        lens = player.at(f'figure[data-panel="{panel}"] canvas.lens')
        lens.wait_for(state="visible")
        across = np.array(
            lens.evaluate(
                """lens => {
                  const brush = new OffscreenCanvas(lens.width, lens.height).getContext("2d");
                  brush.drawImage(lens, 0, 0);
                  return Array.from(brush.getImageData(0, lens.height >> 1, lens.width, 1).data);
                }"""
            )
        ).reshape(-1, 4)[:, :3]
        middle = (across == pixels_of(run, panel, 3)[2, 9, 6]).all(axis=1).nonzero()[0]
        assert len(middle) >= 12
        assert np.ptp(middle) == len(middle) - 1
        assert abs(middle.mean() - (len(across) - 1) / 2) <= 1
