"""How panels of runs are arranged: so that images are as large as can be, on pages of any width."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..scenes.scene import Scene
from .stills import Sheet

PAGES = ("wide", "medium", "narrow")
"""A projector's, a tablet's or a slide's, and a phone's."""
_HEIGHTS = {"wide": 0.355, "medium": 0.355, "narrow": 1.3}
"""The room for panels, as a part of its width."""
_WORDS = 0.065
"""The height of the words of a panel, likewise."""
_MOST = {"wide": 8, "medium": 4, "narrow": 2}
"""Panels beside each other, so that there is room for their words; runs may be more."""


@dataclass(frozen=True)
class Arrangement:
    """Numbers of things beside and above each other."""

    runs: int
    """Beside each other."""
    panels: int
    """Of a run, beside each other."""
    down: int
    """Panels above each other, on the whole page."""
    images: int
    """Of a panel, beside each other."""
    runs_down: int
    """Above each other."""

    def rows(self, count: int) -> int:
        """Images of a panel of so many above each other."""
        return math.ceil(count / self.images)


def arranged(scene: Scene, sheet: Sheet, shown: int, page: str) -> Arrangement:
    """The best arrangement.

    Args:
        scene: what is shown.
        sheet: the images of a panel of its first run.
        shown: the number of panels of each run.
        page: one of `PAGES`.
    """

    def size(tried: Arrangement) -> float:
        across = 1 / (tried.runs * tried.panels * tried.images)
        down = (_HEIGHTS[page] - _WORDS * tried.down) / (tried.down * tried.rows(sheet.count))
        return min(across, down * sheet.width / sheet.height)

    return max(_possible(scene, sheet, shown, page), key=size)


def _possible(scene: Scene, sheet: Sheet, shown: int, page: str) -> Iterator[Arrangement]:
    """All that may be, the most usual first. An equation is in one row or one column, and a table keeps its columns."""
    runs, wide = len(scene.views), page != "narrow"
    columns = scene.comparison.across if scene.comparison and page == "wide" else None
    for runs_across in [columns] if columns else range(runs, 0, -1):
        for panels in (shown if wide else 1,) if scene.terms else range(shown, 0, -1):
            if runs_across * panels <= _MOST[page] or (page == "wide" and panels == 1):
                runs_down = math.ceil(runs / runs_across)
                down = runs_down * math.ceil(shown / panels)
                for images in [sheet.in_rows] if sheet.in_rows else _near_square(sheet.count):
                    yield Arrangement(runs_across, panels, down, images, runs_down)


def _near_square(count: int) -> list[int]:
    """Columns for so many images, with no row empty; about a square first."""
    square = math.ceil(math.sqrt(count))
    columns = {math.ceil(count / rows) for rows in range(1, count + 1)}
    return sorted(columns, key=lambda tried: abs(tried - square))
