"""What all of a page is made from: its scene, its moments, and how the images of each panel are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..scenes.plane import Plane
from ..scenes.scene import Part, Scene
from ..timeline.shots import Shot
from .changing import Changing
from .planes import Tracks
from .stills import Sheet

_OF_PLOTS = Sheet(1, 3, 4, 1)
"""The shape of a page that has no pictures."""


@dataclass(frozen=True, eq=False)
class Material:
    """One scene at some moments."""

    scene: Scene
    shots: Sequence[Shot]
    """A moment for each."""
    whole: bool = True
    """Whether these are all that there are to show, none being left out."""

    @cached_property
    def changing(self) -> Changing:
        """Takes what changes from moment to moment."""
        return Changing([shot.rows for shot in self.shots], [view.run.steps for view in self.scene.views])

    @cached_property
    def pictures(self) -> dict[int, Part]:
        """The parts of the scene that are pictures, by their index."""
        return {place: part for place, part in enumerate(self.scene.parts) if not part.is_drawn}

    @cached_property
    def planes(self) -> dict[int, Plane]:
        """What is drawn of those that are points in the plane, by their index."""
        return {place: self.scene.plane_of(part) for place, part in enumerate(self.scene.parts) if part.is_plane}

    @cached_property
    def tracks(self) -> Tracks:
        """The places of their particles."""
        return Tracks(self.scene.parts, self.planes, self.shots, whole=self.whole)

    @cached_property
    def sheets(self) -> dict[int, Sheet]:
        """How the images of pictures are stored, and the proportions of planes."""
        return {place: Sheet.of(part) for place, part in enumerate(self.scene.parts) if not part.is_plot}

    @property
    def first_sheet(self) -> Sheet:
        """Of the first picture, after which the page is arranged."""
        return next(iter(self.sheets.values()), _OF_PLOTS)

    @property
    def lossless(self) -> bool:
        """Whether all images are stored without loss."""
        return all(self.sheets[place].lossless for place in self.pictures)


def name_of(part: Part) -> str:
    """A panel in plain words."""
    panel, shows = part.panel, shown_by(part)
    return f"{panel.sign}, {shows}" if panel.sign != panel.name else shows


def shown_by(part: Part) -> str:
    """What a panel shows, in words."""
    return part.panel.points if part.is_plane and part.panel.points else part.panel.shows
