"""What all of a page is made from: its scene, its moments, and how the images of each panel are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..scenes.scene import Part, Scene
from ..timeline.shots import Shot
from .changing import Changing
from .stills import Sheet

_OF_PLOTS = Sheet(1, 3, 4, 1)
"""The shape of a page that has no pictures."""


@dataclass(frozen=True, eq=False)
class Material:
    """One scene at some moments."""

    scene: Scene
    shots: Sequence[Shot]
    """A moment for each."""

    @cached_property
    def changing(self) -> Changing:
        """Takes what changes from moment to moment."""
        return Changing([shot.rows for shot in self.shots], [view.run.steps for view in self.scene.views])

    @cached_property
    def pictures(self) -> dict[int, Part]:
        """The parts of the scene that are pictures, by their index."""
        return {place: part for place, part in enumerate(self.scene.parts) if not part.is_plot}

    @cached_property
    def sheets(self) -> dict[int, Sheet]:
        """How their images are stored."""
        return {place: Sheet.of(part) for place, part in self.pictures.items()}

    @property
    def first_sheet(self) -> Sheet:
        """Of the first picture, after which the page is arranged."""
        return next(iter(self.sheets.values()), _OF_PLOTS)

    @property
    def lossless(self) -> bool:
        """Whether all images are stored without loss."""
        return all(sheet.lossless for sheet in self.sheets.values())


def name_of(part: Part) -> str:
    """A panel in plain words."""
    panel = part.panel
    return f"{panel.sign}, {panel.shows}" if panel.sign != panel.name else panel.shows
