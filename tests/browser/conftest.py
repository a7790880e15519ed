"""Real browsers, without a window: Chromium and Firefox as Debian has them, driven by Playwright."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.played import page_of, small_run
from support.visits import Visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

BROWSERS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "chromium": (("chromium", "chromium-browser", "google-chrome"), {}),
    # Unless this channel is named, Playwright expects a Firefox that it has patched itself.
    "firefox": (
        ("firefox-esr", "firefox"),
        {"channel": "moz-firefox", "firefox_user_prefs": {"dom.w3c_touch_events.enabled": 1}},
    ),
}
"""By name: what it may be called on the disk, and what Playwright must be told to start it."""


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    api = pytest.importorskip("playwright.sync_api", reason="there is no Playwright: pip install playwright")
    with api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package", params=BROWSERS)
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    names, options = BROWSERS[request.param]
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        pytest.skip(f"there is no {request.param.title()}")
    starting = getattr(request.getfixturevalue("playwright"), request.param)
    with starting.launch(executable_path=executable, **options) as browser:
        yield browser


@pytest.fixture(scope="package")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of `small_run`."""
    return page_of(small_run(), tmp_path_factory.mktemp("pages") / "run.html")


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Open pages in the browser: ``visit(path, "step=3", viewport=…)``. Each must end without a complaint."""
    opened: list[Visit] = []

    def visit(address: Path | str, fragment: str = "step=1&play=0", **options: Any) -> Visit:
        opened.append(Visit(browser, address, fragment, **options))
        return opened[-1]

    yield visit
    complaints = [complaint for one in opened for complaint in one.close()]
    assert complaints == []


@pytest.fixture(scope="package")
def from_npm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the packages of package.json."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm")
    folder = tmp_path_factory.mktemp("npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(Path(__file__).with_name(name), folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=30000"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install the packages: {done.stderr.strip().splitlines()[:1]}")
    return folder / "node_modules"
