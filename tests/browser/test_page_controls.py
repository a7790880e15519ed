"""Every control of a page, by mouse, by keyboard and by touch."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from support.played import STEPS, page_of, small_run
from support.visits import Visit, Visiting

pytestmark = pytest.mark.browser

END = STEPS + 1
"""The last moment: the finished images."""
ONLY_CHROMIUM = pytest.mark.parametrize("browser", ["chromium"], indirect=True)
"""Where Playwright has no such thing for Firefox."""

STEPS_PASSED = """(count) => new Promise(resolve => {
  const main = document.querySelector("main"), passed = [];
  new MutationObserver(() => {
    passed.push(+main.dataset.step);
    if (passed.length == count) resolve(passed);
  }).observe(main, {attributes: true, attributeFilter: ["data-step"]});
  document.querySelector("#play").click();
})"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(small_run(), tmp_path_factory.mktemp("pages") / "run.html", fps=30)


def is_playing(player: Visit) -> bool:
    return player.at("#play").get_attribute("aria-label") == "Pause"


def shown_panels(player: Visit) -> list[str | None]:
    figures = player.at("figure.panel").all()
    return [figure.get_attribute("data-panel") for figure in figures if figure.is_visible()]


def test_keys(visit: Visiting, page: Path) -> None:
    player = visit(page)
    player.until(1)
    walk = {"ArrowRight": 2, ".": 3, "ArrowLeft": 2, ",": 1, "End": END}
    for key, step in [*walk.items(), ("ArrowRight", END), ("Home", 1), ("ArrowLeft", 1)]:
        player.press(key)
        player.until(step)
    player.press("Space")
    player.until(END)
    player.wait("document.querySelector('#play').ariaLabel == 'Play'")
    player.press("Home", "Space", "Space")
    assert not is_playing(player)


def test_buttons_and_slider(visit: Visiting, page: Path) -> None:
    player = visit(page)
    player.until(1)
    player.at("#next").click()
    player.until(2)
    assert player.label == f"step 2 of {STEPS}, t = 832.3"
    player.at("#previous").click()
    player.until(1)
    slider = player.at("#step")
    box = slider.bounding_box()
    assert box is not None
    player.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    player.until(END // 2 + 1)
    slider.press("ArrowRight")  # Once, although the slider and the page both know the key.
    player.until(END // 2 + 2)
    slider.press("End")
    player.until(END)
    assert player.label == f"after {STEPS} steps"
    assert player.frame.evaluate(STEPS_PASSED, END) == [*range(1, END + 1)]


def test_buttons_with_the_focus_answer_space_once(visit: Visiting, page: Path) -> None:
    player = visit(page)
    player.until(1)
    player.at("#next").focus()
    player.press("Space")
    player.until(2)
    assert not is_playing(player)


def test_repeating(visit: Visiting, page: Path) -> None:
    player = visit(page, f"step={END - 2}&play=0")
    player.until(END - 2)
    player.at("#speed").select_option("4")
    player.at("#repeat").select_option("loop")
    assert player.frame.evaluate(STEPS_PASSED, 5) == [END - 1, END, 1, 2, 3]
    player.at("#play").click()
    player.frame.evaluate(f"location.hash = 'step={END - 2}'")
    player.until(END - 2)
    player.at("#repeat").select_option("bounce")
    assert player.frame.evaluate(STEPS_PASSED, 5) == [END - 1, END, END - 1, END - 2, END - 3]


def test_speed(visit: Visiting, page: Path) -> None:
    player = visit(page)
    player.until(1)
    taken = []
    for speed in ("0.25", "4"):
        player.at("#speed").select_option(speed)
        start = time.perf_counter()
        player.frame.evaluate(STEPS_PASSED, STEPS)
        taken.append(time.perf_counter() - start)
        player.press("Home")
        player.until(1)
    assert taken[0] > 2 * taken[1]


def test_panels_are_switched(visit: Visiting, page: Path) -> None:
    player = visit(page)
    player.until(1)
    assert shown_panels(player) == ["x", "x0"]
    player.press("1")
    assert shown_panels(player) == ["x0"]
    assert player.at('button.switch[data-panel="x"]').get_attribute("aria-pressed") == "false"
    player.press("9")  # There is no ninth.
    player.at('button.switch[data-panel="x"]').click()
    assert shown_panels(player) == ["x", "x0"]


def test_a_panel_switched_on_while_others_are_painted_is_of_the_same_step(visit: Visiting, page: Path) -> None:
    player = visit(page)
    player.until(1)
    before = player.pixels()
    player.press("1")
    player.until(1)
    player.frame.evaluate(
        """last => {
          const slider = document.querySelector("#step");
          slider.value = last;
          slider.dispatchEvent(new Event("input", {bubbles: true}));
          document.querySelector("button.switch[data-panel='x']").click();
        }""",
        STEPS,
    )
    player.until(END)
    after = player.pixels()
    np.testing.assert_array_equal(after[0, "x", 0], after[0, "x0", 0])  # The finished images.
    assert (after[0, "x", 0] != before[0, "x", 0]).any()


def test_an_image_is_seen_alone(visit: Visiting, page: Path) -> None:
    player = visit(page)
    player.until(1)

    def seen() -> list[str | None]:
        canvases = player.at('figure[data-panel="x"] canvas[data-image]').all()
        return [canvas.get_attribute("data-image") for canvas in canvases if canvas.is_visible()]

    assert len(seen()) == 4
    small = player.at('figure[data-panel="x0"] canvas[data-image="2"]').bounding_box()
    player.page.mouse.click(*player.place_of("x", 2, 3, 3))
    assert seen() == ["2"]
    large = player.at('figure[data-panel="x0"] canvas[data-image="2"]').bounding_box()
    assert small is not None
    assert large is not None
    assert large["width"] > 1.5 * small["width"]
    player.press("ArrowRight")
    player.until(2)
    assert seen() == ["2"]
    player.press("Escape")
    assert len(seen()) == 4
    player.at('figure[data-panel="x"] .image').nth(1).focus()
    player.press("Enter")
    assert seen() == ["1"]
    player.press("Escape")
    assert len(seen()) == 4


def test_full_screen(visit: Visiting, page: Path) -> None:
    player = visit(page)
    player.until(1)
    player.press("f")
    player.wait("document.fullscreenElement !== null")
    player.press("f")
    player.wait("document.fullscreenElement === null")
    player.at("#full").click()
    player.wait("document.fullscreenElement !== null")


@ONLY_CHROMIUM
def test_touch(visit: Visiting, page: Path) -> None:
    player = visit(page, has_touch=True, viewport={"width": 360, "height": 740})
    player.until(1)
    player.at("#next").tap()
    player.until(2)
    player.at("#play").tap()
    player.until(END)
    player.at("#step").tap()  # In its middle.
    player.until(END // 2 + 1)
    player.at('button.switch[data-panel="x0"]').tap()
    assert shown_panels(player) == ["x"]
    player.page.touchscreen.tap(*player.place_of("x", 1, 3, 3))
    assert player.at('figure[data-panel="x"] canvas[data-image="0"]').is_hidden()


def test_step_in_the_address(visit: Visiting, page: Path) -> None:
    player = visit(page, "step=4")
    player.until(4)
    player.press("ArrowRight")
    player.until(5)
    player.wait("location.hash.includes('step=5')")
    player.frame.evaluate("location.hash = 'step=2'")
    player.until(2)
    assert player.label.startswith("step 2 of")
    length = player.frame.evaluate("history.length")
    player.press("ArrowRight")
    player.until(3)
    assert player.frame.evaluate("history.length") == length
    for nonsense in ("step=999", "step=-3", "step=x", "%", "step=2e9&play=maybe&stops=,,x"):
        player.frame.evaluate("hash => { location.hash = hash }", nonsense)
        player.press("Home")
        player.until(1)


def test_plays_by_itself(visit: Visiting, page: Path) -> None:
    visit(page, "").until(END)


@ONLY_CHROMIUM
def test_does_not_play_by_itself_where_motion_is_not_wanted(visit: Visiting, page: Path) -> None:
    player = visit(page, "", reduced_motion="reduce")
    player.until(1)
    assert not is_playing(player)
    player.press("Space")
    player.until(END)
