"""Pages on slides of reveal.js, with what ``diffanim embed`` prints: two players in one deck."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.played import page_of, small_run
from support.terminal import Run
from support.visits import Visit, Visiting

pytestmark = pytest.mark.browser

DECK = """<!doctype html><meta charset="utf-8"><title>a talk</title>
<link rel="stylesheet" href="reveal/reveal.css">
<div class="reveal"><div class="slides">
<section>before</section>
FIRST
SECOND
<section>after</section>
</div></div>
<script src="reveal/reveal.js"></script>
<script>Reveal.initialize({transition: "none", width: 1200, height: 700});</script>"""
END = 41


@pytest.fixture
def deck(run: Run, tmp_path: Path, from_npm: Path) -> Path:
    """The first player goes from stop to stop, the second plays through."""
    for name, fps in (("first", 30), ("second", 8)):  # The second is left before its end, also by a busy machine.
        page_of(small_run(END - 1, 8), tmp_path / f"{name}.html", fps=fps)
    snippets = {
        "first": run("embed", "first.html", "--place", "reveal", "--stops", "t=799,399").out,
        "second": run("embed", "second.html", "--place", "reveal").out,
    }
    shutil.copytree(from_npm / "reveal.js" / "dist", tmp_path / "reveal")
    path = tmp_path / "deck.html"
    path.write_text(DECK.replace("FIRST", snippets["first"]).replace("SECOND", snippets["second"]), encoding="utf-8")
    return path


def enter(talk: Visit, name: str) -> None:
    talk.enter(f'iframe[src*="{name}"]')
    talk.frame.wait_for_selector("main[data-shown]")


def slide(talk: Visit) -> int:
    number: int = talk.page.evaluate("Reveal.getIndices().h")
    return number


def until_slide(talk: Visit, number: int) -> None:
    talk.wait(f"Reveal.getIndices().h == {number}", talk.page.main_frame)


def test_a_player_plays_while_its_slide_is_shown(visit: Visiting, deck: Path) -> None:
    talk = visit(deck, "/2")
    enter(talk, "second")
    talk.frame.wait_for_selector('main[data-shown]:not([data-shown="1"])')
    talk.press("ArrowRight")
    until_slide(talk, 3)
    talk.wait("document.querySelector('#play').ariaLabel == 'Play'")
    assert talk.step < END
    talk.press("ArrowLeft")
    talk.until(END)


def test_keys_go_from_stop_to_stop_and_then_on(visit: Visiting, deck: Path) -> None:
    """Also with the focus in the player, where the deck itself hears no key."""
    talk = visit(deck, "")
    talk.press("ArrowRight")
    until_slide(talk, 1)
    enter(talk, "first")
    talk.until(1)
    talk.press("ArrowRight")
    talk.until(9)
    talk.wait("document.querySelector('#play').ariaLabel == 'Play'")
    box = talk.page.locator("iframe").first.bounding_box()
    assert box is not None
    talk.page.mouse.click(box["x"] + 5, box["y"] + 5)
    talk.wait("document.hasFocus()")
    talk.press("ArrowRight")
    talk.until(25)
    assert slide(talk) == 1
    talk.press("ArrowLeft")
    talk.until(9)
    talk.press("ArrowRight")
    talk.until(25)
    talk.press("ArrowRight")
    until_slide(talk, 2)
    enter(talk, "second")
    talk.frame.wait_for_selector('main[data-shown]:not([data-shown="1"])')
