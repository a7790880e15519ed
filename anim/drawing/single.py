"""The surroundings of one run: its title, a caption over each panel, its noise schedule and a legend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..errors import SettingsError
from ..pixels import Pixels
from ..scenes.curves import curves
from ..scenes.scene import Scene
from . import headings
from .headings import Type
from .layout import Layout, Size, arrange, how_large
from .lines import Placed
from .strip import Strip
from .terms import TermType, placed_terms, rooms_for, term_types
from .themes import Theme


class Single:
    """A stage for the panels of one run."""

    def __init__(self, scene: Scene, *, size: Size, theme: Theme, type_: Type) -> None:
        """Lay it out.

        Raises:
            SettingsError: the picture is too small for its images.
        """
        self._scene, self._type, self._curves = scene, type_, curves(scene.lead.run)
        self._running = [scene.captions(part) for part in scene.parts]
        self._closing = [scene.closing(part) for part in scene.parts]
        self.layout, self._terms = self._laid_out(size, term_types(type_.em)[: None if scene.terms else 1])
        points = max(scene.lead.run.total, scene.lead.run.steps)
        self.strip = Strip(self._curves, points, self.layout.strip, theme, type_.em)

    def _laid_out(self, size: Size, choices: Sequence[TermType]) -> tuple[Layout, TermType]:
        """The layout with the largest images, and of equals the one with the largest terms; with those terms' type."""
        lead, scene, type_ = self._scene.lead, self._scene, self._type
        wordings = [wording for state in (self._running, self._closing) for part in state for wording in part]
        fits: list[tuple[Layout, TermType]] = []
        for terms in choices:
            try:
                layout = arrange(
                    lead.count,
                    lead.size,
                    width=size[0],
                    height=size[1],
                    lines=type_.heights(wordings, self._curves),
                    panels=len(scene.parts),
                    beside=scene.beside,
                    em=type_.em,
                    columns=lead.columns,
                    between=rooms_for(scene.terms, terms),
                )
            except SettingsError:
                if terms is choices[-1] and not fits:
                    raise
                continue
            fits.append((layout, terms))
        return max(fits, key=lambda fit: how_large(fit[0]))

    def texts(self, ended: Sequence[bool]) -> Iterator[tuple[int, Placed]]:
        """The title, the captions, the terms of an equation and the legend."""
        layout, run = self.layout, self._scene.lead.run
        placed = headings.title(run, layout.title, self._type, closing=ended[0], timed=bool(self._scene.terms))
        for place, wordings in zip(layout.panels, self._closing if ended[0] else self._running, strict=True):
            placed += headings.caption(wordings, place.caption, self._type)
        if not ended[0] or run.finished or run.is_forward:  # A last sample with noise has no guess to be made of.
            placed += placed_terms(self._scene.terms, layout, self._terms)
        placed += headings.legend(run.info, self._curves, layout.legend, self._type)
        return ((0, text) for text in placed)

    def draw(self, picture: Pixels, rows: Sequence[int]) -> None:
        """Draw the schedule with its cursor."""
        self.strip.draw(picture, rows[0])
