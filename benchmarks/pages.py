"""A page of a run, against matplotlib's `to_jshtml` and a GIF: how large, and how soon one sees something.

    python benchmarks/pages.py [RUN.zarr] [--steps 40] [--visits 5] [--browsers chromium,firefox]

Without a recording, it makes the one of `rendering.py`. In each browser that is found, the pages take turns, opened
from the disk; the time is from opening until a picture is there to be painted; medians are compared. All requests fail
at once, so that nothing waits for the style sheet that `to_jshtml` wants from elsewhere.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from rendering import FPS, blobs, funcanimation

import diffanim

mpl.rcParams["animation.embed_limit"] = 1000  # MB; a page that leaves frames out could not be compared.
BROWSERS: dict[str, dict[str, Any]] = {"chromium": {}, "firefox": {"channel": "moz-firefox"}}
FIRST_PICTURE = """
window.firstPicture = new Promise(tell => {
  const look = () => [...document.images].some(image => image.complete && image.naturalWidth && image.offsetWidth)
    ? tell(performance.now()) : requestAnimationFrame(look);
  look();
});
"""
"""Milliseconds since the page was opened."""


def with_diffanim(run: diffanim.Trajectory, path: Path) -> None:
    """The page, or a GIF of the width for a README."""
    diffanim.render(run, path, fps=FPS)


def with_matplotlib(run: diffanim.Trajectory, path: Path) -> None:
    """What a notebook shows of an animation."""
    path.write_text(funcanimation(run).to_jshtml(fps=FPS), encoding="utf-8")
    plt.close()


def first_pictures(name: str, pages: list[Path], visits: int) -> list[list[float]]:
    """How long each page takes to its first picture at each visit, in milliseconds; empty without the browser."""
    executable = shutil.which(name)
    if executable is None:
        return []
    from playwright.sync_api import sync_playwright

    taken: list[list[float]] = [[] for _ in pages]
    with (
        sync_playwright() as playwright,
        getattr(playwright, name).launch(executable_path=executable, **BROWSERS[name]) as browser,
    ):
        for number in range(visits + 1):
            for page, times in zip(pages, taken, strict=True):
                context = browser.new_context()
                context.route("http*://**", lambda route: route.abort())
                context.add_init_script(FIRST_PICTURE)
                opened = context.new_page()
                opened.goto(page.as_uri())
                if number > 0:  # The first one warms up.
                    times.append(opened.evaluate("firstPicture"))
                context.close()
    return taken


def main() -> None:
    """Write the three, then visit the pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--steps", type=int, default=40, help="of the run that is made")
    parser.add_argument("--visits", type=int, default=5, help="to each page, in each browser")
    parser.add_argument("--browsers", default=",".join(BROWSERS), help="in which the pages are opened")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = diffanim.Trajectory.open(given.run) if given.run else blobs(Path(folder), given.steps)
        ours, theirs, film = (Path(folder) / name for name in ("ours.html", "to_jshtml.html", "film.gif"))
        with_diffanim(run, ours)
        with_matplotlib(run, theirs)
        with_diffanim(run, film)
        print(f"{run.steps} steps of {run.x.shape[1]} images of {run.x.shape[-2]}×{run.x.shape[-1]}")
        for path in (ours, theirs, film):
            size, own = path.stat().st_size, ours.stat().st_size
            print(f"{path.name:<16} {size / 1e6:6.2f} MB   ours / it: {own / size:.2f}")
        for name in given.browsers.split(","):
            times = first_pictures(name, [ours, theirs], given.visits)
            if not times:
                print(f"there is no {name}")
                continue
            mine, other = map(statistics.median, times)
            print(f"first picture in {name}: {mine:.0f} ms, of to_jshtml {other:.0f} ms   ratio {mine / other:.2f}")


if __name__ == "__main__":
    main()
