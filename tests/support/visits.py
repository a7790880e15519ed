"""A page opened in a real browser: what it shows, and what it tries that it should not."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffanim.pixels import Pixels

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Frame, Locator

PATIENCE = 120_000
"""Milliseconds."""

LISTENING = """
window.noticed = {violations: [], shifts: 0, boxes: [], decoded: 0, decodedAtFirst: null};
addEventListener("securitypolicyviolation", event =>
  noticed.violations.push(`${event.effectiveDirective} forbids ${event.blockedURI}`));
if (PerformanceObserver.supportedEntryTypes.includes("layout-shift")) {
  const add = entries => entries.forEach(entry => { noticed.shifts += entry.value; });
  new PerformanceObserver(list => add(list.getEntries())).observe({type: "layout-shift", buffered: true});
}
const decode = window.createImageBitmap;
window.createImageBitmap = (...source) => { noticed.decoded += 1; return decode.apply(window, source); };
const look = () => {
  const parts = [...document.querySelectorAll("figure.panel, figcaption, .image, #step, header, footer")];
  if (parts.length && getComputedStyle(parts[0]).visibility == "visible")
    noticed.boxes.push(parts.map(part => Object.values(part.getBoundingClientRect().toJSON())));
  if (noticed.boxes.length < 100) requestAnimationFrame(look);
};
requestAnimationFrame(look);
new MutationObserver(() => { noticed.decodedAtFirst ??= noticed.decoded; })
  .observe(document, {attributeFilter: ["data-shown"], subtree: true});
"""
"""Runs in every document before all else. It keeps violations of the document's policy, how much parts of the page
moved, where they were when frames were painted, and how many pictures were decoded, also until the first was shown."""

PIXELS = """() => [...document.querySelectorAll("figure.panel canvas[data-image]")].map(canvas => {
  const {width, height} = canvas, panel = canvas.closest("figure").dataset;
  const brush = new OffscreenCanvas(width, height).getContext("2d");
  brush.drawImage(canvas, 0, 0);
  const levels = Array.from(brush.getImageData(0, 0, width, height).data, level => String.fromCharCode(level));
  return [+panel.run, panel.panel, +canvas.dataset.image, height, width, btoa(levels.join(""))];
})"""

WAITING = """patience => new Promise((done, failed) => {
  const end = performance.now() + patience;
  const look = () => {
    if (EXPRESSION) done();
    else if (performance.now() < end) setTimeout(look, 10);
    else failed(new Error("waited in vain"));
  };
  look();
})"""


class Visit:
    """A page in a browser of its own: nothing is remembered from one to the next.

    Args:
        browser: a running browser.
        address: an HTML file, or a URL.
        fragment: what follows # in its address.
        options: of Playwright's `Browser.new_context`, such as ``viewport`` or ``has_touch``.
    """

    def __init__(self, browser: Browser, address: Path | str, fragment: str = "", **options: Any) -> None:
        self._context = browser.new_context(**options)
        self._context.set_default_timeout(PATIENCE)
        self._context.add_init_script(LISTENING)
        self.page = self._context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self._hear(str(error)))
        self.page.on("console", lambda said: self._hear(said.text) if said.type == "error" else None)
        self._address = address if isinstance(address, str) else address.resolve().as_uri()
        self.page.goto(f"{self._address}#{fragment}" if fragment else self._address)
        self.frame: Frame = self.page.main_frame
        """Where the player is."""

    def enter(self, selector: str = "iframe") -> None:
        """The player is in this frame of the page."""
        element = self.page.wait_for_selector(selector)
        assert element is not None
        frame = element.content_frame()
        assert frame is not None
        self.frame = frame

    def at(self, selector: str) -> Locator:
        """What is in the player."""
        return self.frame.locator(selector)

    def press(self, *keys: str) -> None:
        """Press keys one after another, wherever the focus is."""
        for key in keys:
            self.page.keyboard.press(key)

    def until(self, step: int) -> None:
        """Wait until the pictures of a step are painted; the first step is 1, and what follows the last is the end."""
        self.frame.wait_for_selector(f'main[data-shown="{step}"]')

    def wait(self, expression: str, frame: Frame | None = None) -> None:
        """Wait until an expression is true in the player, or in another frame.

        Playwright's own way evaluates a string in the page, which the page's policy forbids.
        """
        (frame or self.frame).evaluate(WAITING.replace("EXPRESSION", expression), PATIENCE)

    @property
    def step(self) -> int:
        """The step asked for."""
        return int(self.at("main").get_attribute("data-step") or -1)

    @property
    def label(self) -> str:
        """What a screen reader says of the slider."""
        return self.at("#step").get_attribute("aria-valuetext") or ""

    def pixels(self) -> dict[tuple[int, str, int], Pixels]:
        """By run, panel and image: what its canvas holds, uint8 [H, W, 3]."""
        held = {}
        for run, panel, image, height, width, levels in self.frame.evaluate(PIXELS):
            rgba = np.frombuffer(base64.b64decode(levels), np.uint8).reshape(height, width, 4)
            assert (rgba[..., 3] == 255).all(), f"{panel} has holes"
            held[run, panel, image] = rgba[..., :3]
        return held

    def point_at(self, panel: str, image: int, row: int, column: int, run: int = 0) -> None:
        """Move the pointer to the middle of a pixel of an image."""
        self.page.mouse.move(*self.place_of(panel, image, row, column, run))

    def place_of(self, panel: str, image: int, row: int, column: int, run: int = 0) -> tuple[float, float]:
        """Where the middle of a pixel of an image is: (x, y) in the window."""
        canvas = self.at(f'figure.panel[data-panel="{panel}"][data-run="{run}"] canvas[data-image="{image}"]')
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        height, width = canvas.evaluate("canvas => [canvas.height, canvas.width]")
        return box["x"] + (column + 0.5) * box["width"] / width, box["y"] + (row + 0.5) * box["height"] / height

    def complaints(self) -> list[str]:
        """What happened that must not happen in any page of ours."""
        found = [f"{address} was requested" for address in self.requests if self._is_foreign(address)]
        for frame in self.page.frames:
            found += frame.evaluate("noticed.violations")
            loaded = frame.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
            found += [f"{address} was loaded" for address in loaded if self._is_foreign(address)]
        return found + self.errors

    def _hear(self, error: str) -> None:
        # Firefox says so of formulas that it is still reading, too.
        if not error.startswith("Incorrect number of children for <m"):
            self.errors.append(error)

    def close(self) -> list[str]:
        """Leave the page; what it complained about."""
        try:
            return self.complaints()
        finally:
            self._context.close()

    def _is_foreign(self, address: str) -> bool:
        own = (self._address.rpartition("/")[0] + "/", "data:", "blob:", "about:")
        return not address.startswith(own)


Visiting = Callable[..., Visit]
"""``visit(address, fragment, **options)`` of `Visit`."""
