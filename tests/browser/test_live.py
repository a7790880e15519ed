"""A run that is watched while it is recorded: the page grows, and whoever looks back is left alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from diffanim.runs.step import Step
from diffanim.runs.trajectory import RunInfo
from diffanim.runs.writer import TrajectoryWriter
from diffanim.watching.server import Server, serving
from support.visits import PATIENCE, WAITING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

STEPS = 5
SEEN = """(() => {{
  const player = document.querySelector("iframe:not(.next)")?.contentDocument?.querySelector("main");
  return player?.dataset.shown === "{step}" && player.querySelector("#step").max === String({steps} - 1);
}})()"""


@contextlib.contextmanager
def watching(path: Path) -> Iterator[Server]:
    with serving(path, {}) as server:
        looking = threading.Thread(target=lambda: list(server.watched.growing()), daemon=True)
        looking.start()
        yield server
        looking.join(60)
        assert not looking.is_alive()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: complaints.append(request.url) if "127.0.0.1" not in request.url else None)
    yield page
    context.close()
    assert [said for said in complaints if not said.startswith("data:")] == []


def until(page: Page, step: int, steps: int) -> None:
    """Wait until the page in sight shows a step, and has so many."""
    wait(page, SEEN.format(step=step, steps=steps))


def wait(page: Page, expression: str) -> None:
    page.evaluate(WAITING.replace("EXPRESSION", expression), PATIENCE)


def test_the_page_follows_the_recording(page: Page, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    image = random.uniform(-0.5, 0.5, (2, 3, 8, 8)).astype(np.float32)

    def add(index: int) -> None:
        writer.add(Step(index, STEPS, 900.0 - 100 * index, image, image / np.float32(2), 0.6, 0.8))

    with watching(tmp_path / "run.zarr") as server:
        page.goto(server.url)
        status = page.locator("[role=status]")
        assert status.text_content() == "waiting for the first step of run.zarr"
        writer = TrajectoryWriter(tmp_path / "run.zarr", RunInfo("made up", "DDIMScheduler"))
        with contextlib.closing(writer):
            for index in range(3):
                add(index)
                until(page, index + 1, index + 1)
            player = page.frame_locator("iframe:not(.next)")
            player.locator("#previous").click()
            until(page, 2, 3)
            add(3)
            wait(page, "document.querySelector('[role=status]').textContent.startsWith('step 4 of 5')")
            page.wait_for_timeout(600)
            until(page, 2, 3)  # Still there.
            player.locator(".switch").first.click()
            player.locator("#next").click()
            until(page, 4, 4)
            assert player.locator("figure.panel").first.is_hidden()
            assert player.locator("figure.panel").last.is_visible()
            add(4)
            writer.finish(image)
        until(page, STEPS + 1, STEPS + 1)
        wait(page, "document.querySelector('[role=status]').textContent === 'run.zarr is complete: 5 steps'")
    page.wait_for_timeout(300)
    assert status.text_content() == "run.zarr is complete: 5 steps"
    until(page, STEPS + 1, STEPS + 1)
