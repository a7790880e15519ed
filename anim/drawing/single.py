"""The surroundings of one run: its title, a caption over each panel, its noise schedule and a legend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..pixels import Pixels
from ..scenes.curves import curves
from ..scenes.scene import Scene
from . import headings
from .headings import Type
from .layout import Size, arrange
from .lines import Placed
from .strip import Strip
from .themes import Theme


class Single:
    """A stage for the panels of one run."""

    def __init__(self, scene: Scene, *, size: Size, theme: Theme, type_: Type) -> None:
        """Lay it out.

        Raises:
            SettingsError: the picture is too small for its images.
        """
        self._scene, self._type, self._curves = scene, type_, curves(scene.lead.run)
        lead, parts = scene.lead, scene.parts
        self._running = [part.panel.captions(part.view) for part in parts]
        self._closing = [part.panel.closing(part.view) for part in parts]
        wordings = [wording for state in (self._running, self._closing) for part in state for wording in part]
        self.layout = arrange(
            lead.count,
            lead.size,
            width=size[0],
            height=size[1],
            lines=type_.heights(wordings, self._curves),
            panels=len(parts),
            beside=scene.beside,
            em=type_.em,
            columns=lead.columns,
        )
        points = max(lead.run.total, lead.run.steps)
        self.strip = Strip(self._curves, points, self.layout.strip, theme, type_.em)

    def texts(self, ended: Sequence[bool]) -> Iterator[tuple[int, Placed]]:
        """The title, the captions and the legend."""
        layout, run = self.layout, self._scene.lead.run
        placed = headings.title(run, layout.title, self._type, closing=ended[0])
        for place, wordings in zip(layout.panels, self._closing if ended[0] else self._running, strict=True):
            placed += headings.caption(wordings, place.caption, self._type)
        placed += headings.legend(run.info, self._curves, layout.legend, self._type)
        return ((0, text) for text in placed)

    def draw(self, picture: Pixels, rows: Sequence[int]) -> None:
        """Draw the schedule with its cursor."""
        self.strip.draw(picture, rows[0])
