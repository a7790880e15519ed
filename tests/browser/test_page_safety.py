"""A page asks for nothing, in whatever it is framed, and what a recording says is text in it."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from diffanim import Trajectory
from support.played import HOSTILE, pixels_of, small_run
from support.visits import Visit, Visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

HOST = """<!doctype html><meta charset="utf-8"><script>
const heard = [];
addEventListener("message", event => heard.push(event.data));
const send = message => document.querySelector("iframe").contentWindow.postMessage(message, "*");
</script><iframe sandbox="allow-scripts" width="900" height="700" srcdoc="{page}"></iframe>"""
"""Another's page, such as a notebook."""


@pytest.fixture(scope="module")
def run() -> Trajectory:
    return small_run()


@pytest.fixture(scope="module")
def host(page: Path) -> Path:
    path = page.with_name("host.html")
    path.write_text(HOST.replace("{page}", html.escape(page.read_text(encoding="utf-8"))), encoding="utf-8")
    return path


def test_a_prompt_is_text(visit: Visiting, page: Path) -> None:
    player = visit(page)
    player.until(1)
    assert HOSTILE in player.at("main").inner_text()
    assert player.frame.evaluate("typeof hacked") == "undefined"
    assert player.frame.evaluate("[...document.images].every(image => image.src.startsWith('data:image/'))")
    assert player.at("script:not([type^='image/']):not([type='application/json'])").count() == 1


def test_no_other_script_runs(browser: Browser, page: Path) -> None:
    changed = page.with_name("changed.html")
    text = page.read_text(encoding="utf-8")
    changed.write_text(text.replace("</body>", "") + "<script>window.hacked = 1</script>", encoding="utf-8")
    player = Visit(browser, changed, "step=1&play=0")
    player.until(1)
    assert player.frame.evaluate("typeof hacked") == "undefined"
    assert any("script-src" in complaint for complaint in player.close())


def test_plays_in_a_sandboxed_frame(visit: Visiting, host: Path, run: Trajectory) -> None:
    player = visit(host, "")
    player.enter()
    player.frame.wait_for_selector("main[data-shown]")
    if player.at("#play").get_attribute("aria-label") == "Pause":
        player.at("#play").click()
    player.at("#step").press("Home")
    player.until(1)
    player.press("ArrowRight", "ArrowRight")
    player.until(3)
    for (_, panel, image), pixels in player.pixels().items():
        np.testing.assert_array_equal(pixels, pixels_of(run, panel, 2)[image])
    assert player.frame.evaluate("origin") == "null"


def test_keys_that_it_does_not_use_go_to_the_page_around(visit: Visiting, host: Path) -> None:
    player = visit(host, "")
    player.enter()
    player.frame.wait_for_selector("main[data-shown]")
    player.at("h1").click()
    player.press("n", "ArrowRight", "PageDown")
    player.wait("heard.filter(one => one.key).length >= 2", player.page.main_frame)
    keys = player.page.evaluate("heard.filter(one => one.source == 'diffanim' && one.key).map(one => one.key)")
    assert keys == ["n", "PageDown"]


def test_the_page_around_may_play_and_go(visit: Visiting, host: Path) -> None:
    player = visit(host, "")
    player.enter()
    player.frame.wait_for_selector("main[data-shown]")
    player.page.evaluate("send({diffanim: 'pause'})")
    player.page.evaluate("send({diffanim: 'go', step: 3})")
    player.until(3)
    assert player.at("#play").get_attribute("aria-label") == "Play"
    for message in ("null", "'go'", "{diffanim: 'go'}", "{diffanim: 'go', step: '<b>'}", "{diffanim: '__proto__'}"):
        player.page.evaluate(f"send({message})")
    player.page.evaluate("send({diffanim: 'play'})")
    player.wait("document.querySelector('#play').ariaLabel == 'Pause'")


@pytest.mark.parametrize("browser", ["chromium"], indirect=True)  # Playwright cannot do it in Firefox.
def test_without_scripts_there_is_a_picture(visit: Visiting, page: Path) -> None:
    player = visit(page, "", java_script_enabled=False)
    poster = player.at("noscript img").first
    assert poster.is_visible()
    box = poster.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 16
