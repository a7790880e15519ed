"""How a page is laid out: at once, without jumps, on every width, on paper, and for those who do not see it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from diffanim import Trajectory
from support.played import STEPS, page_of, small_run
from support.synthetic import latent_run, synthetic_run
from support.visits import Visiting

pytestmark = pytest.mark.browser

ONLY_CHROMIUM = pytest.mark.parametrize("browser", ["chromium"], indirect=True)
"""Where Playwright has no such thing for Firefox."""
WIDTHS = (360, 830, 1920)
LONG = 40


@pytest.fixture(scope="module")
def plots_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(small_run(), tmp_path_factory.mktemp("pages") / "plots.html", panels="x,eps,x0,error,path")


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_while_it_loads(visit: Visiting, page: Path, width: int) -> None:
    player = visit(page, viewport={"width": width, "height": 800})
    player.until(1)
    player.wait("noticed.boxes.length >= 30")
    first, *others = player.frame.evaluate("noticed.boxes")
    for boxes in others:
        assert boxes == first
    assert len(others) >= 20
    assert player.frame.evaluate("noticed.shifts") == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_moves_from_step_to_step(visit: Visiting, plots_page: Path, width: int) -> None:
    """And nothing needs to be scrolled from side to side."""
    player = visit(plots_page, viewport={"width": width, "height": 800})
    player.until(1)
    parts = """() => [...document.querySelectorAll("figure.panel, .image, svg, #step, footer")]
      .map(part => Object.values(part.getBoundingClientRect().toJSON()))"""
    before = player.frame.evaluate(parts)
    for step in range(2, STEPS + 2):
        player.press("ArrowRight")
        player.until(step)
        assert player.frame.evaluate(parts) == before
    assert player.frame.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    ("made", "panels"),
    [
        (partial(synthetic_run, steps=2), "path"),
        (partial(synthetic_run, steps=2, shape=(1, 1, 16, 16)), "x0"),
        (partial(synthetic_run, "flow", steps=3, interrupted_after=2), "x,histogram"),
        (latent_run, "x,x0,eps"),
    ],
    ids=["one plot", "one grey image", "interrupted", "latents"],
)
def test_all_kinds_are_seen(visit: Visiting, made: Callable[[], Trajectory], panels: str, tmp_path: Path) -> None:
    run = made()
    decoder = {"decoder": "linear"} if made is latent_run else {}
    player = visit(page_of(run, tmp_path / "run.html", panels=panels, **decoder))
    player.until(1)
    player.press("End")
    player.until(len(run.x))
    for panel in panels.split(","):
        assert player.at(f'figure[data-panel="{panel}"]').is_visible()
    assert (player.at(".switch").count() > 1) == ("," in panels)


def test_first_pictures_before_others_are_decoded(visit: Visiting, tmp_path: Path) -> None:
    player = visit(page_of(small_run(LONG, 8), tmp_path / "long.html"))
    player.until(1)
    player.wait("noticed.boxes.length >= 30")
    assert player.frame.evaluate("noticed.decodedAtFirst") == 2
    assert player.frame.evaluate("noticed.decoded") <= 16


@ONLY_CHROMIUM
def test_on_paper_it_is_a_sheet(visit: Visiting, page: Path) -> None:
    player = visit(page)
    player.until(1)
    assert player.at(".sheet").is_hidden()
    player.page.emulate_media(media="print")
    assert player.at(".sheet").is_visible()
    for control in ("#play", "#step", "#speed"):
        assert player.at(control).is_hidden()
    sizes = player.at(".sheet img").evaluate_all("all => all.map(one => [one.complete, one.naturalWidth])")
    assert len(sizes) == 2 * player.at(".sheet thead th").count()
    assert set(map(tuple, sizes)) == {(True, 32)}


@ONLY_CHROMIUM
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDTHS[0], WIDTHS[-1]])
def test_axe_finds_no_violation(visit: Visiting, plots_page: Path, from_npm: Path, width: int, scheme: str) -> None:
    player = visit(plots_page, viewport={"width": width, "height": 900}, color_scheme=scheme)
    player.until(1)
    player.frame.evaluate((from_npm / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = player.frame.evaluate("axe.run().then(results => results.violations)")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    assert player.frame.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
