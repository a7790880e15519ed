"""One picture at a time: what stands still is drawn once; images, cursor and numbers are added to each."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..pixels import Pixels
from ..scenes.curves import curves
from ..scenes.panels import DEFAULT_PANELS, Caption, Panel, panel_named
from ..scenes.phrases import Number
from ..scenes.views import View
from ..threads import threads
from ..timeline.shots import Shot, turning_point
from . import headings
from .frame import Clip, Frame, Region
from .headings import Type
from .labels import Placed, blend
from .layout import README_SIZE, Box, Size, arrange, check_text, text_size
from .strip import Strip
from .themes import DEFAULT_THEME, theme_named

SAMPLES = 9
"""How many pictures stand for all of them when an encoder chooses colours."""


class RowImages:
    """What the panels show of a row of a run, as pixels. The last row is kept: pictures of several sizes share it."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._row = -1
        self._images: dict[str, Pixels] = {}

    def of(self, panel: Panel, row: int) -> Pixels:
        """uint8 [B, H, W, 3], not to be written to.

        Raises:
            TrajectoryError: the row is damaged.
        """
        if row != self._row:
            self._row, self._images = row, {}
        if panel.name not in self._images:
            self._images[panel.name] = panel.images(self.view, row)
        return self._images[panel.name]


@dataclass(frozen=True, eq=False)
class Sheet:
    """A picture without its images and its cursor."""

    background: Pixels
    """uint8 [H, W, 3], with the text that stands still."""
    texts: tuple[Placed, ...]
    """All text, still or changing."""


class Composer:
    """Draws the pictures of a run.

    Attributes:
        width: of every picture, in pixels.
        height: of every picture, in pixels.
        regions: where the panels lie.
        layout: where everything lies.
        strip: the noise schedule.
        running: what the pictures of all steps have in common.
        closing: what stands around the finished image.
    """

    def __init__(
        self,
        view: View,
        *,
        size: Size = README_SIZE,
        theme: str = DEFAULT_THEME,
        text: float = 1.0,
        panels: Sequence[str] = DEFAULT_PANELS,
        images: RowImages | None = None,
    ) -> None:
        """Draw what stands still.

        Args:
            view: of a run.
            size: of the pictures.
            theme: a name of `themes.THEMES`.
            text: how much larger than usual text is.
            panels: names of `panels.PANELS`, from left to right.
            images: of this run, where another composer has use of them too.

        Raises:
            SettingsError: a size or a name that is not allowed.
        """
        run = view.run
        self._run, self._theme = run, theme_named(theme)
        self._images = images or RowImages(view)
        self._panels = [panel_named(name) for name in panels]
        check_text(text)
        self._type, self._curves = Type(round(text * text_size(*size))), curves(run)
        wordings = [panel.captions(view) for panel in self._panels], [panel.closing(view) for panel in self._panels]
        lines = self._type.heights([c for state in wordings for panel in state for c in panel], self._curves)
        self.layout = arrange(
            view.count,
            view.size,
            width=size[0],
            height=size[1],
            lines=lines,
            panels=len(panels),
            em=self._type.em,
            columns=view.columns,
        )
        self.width, self.height = self.layout.width, self.layout.height
        self.regions = tuple(
            Region(place.box.x, place.box.y, place.box.width, place.box.height, panel.kind)
            for panel, place in zip(self._panels, self.layout.panels, strict=True)
        )
        self.strip = Strip(self._curves, max(run.total, run.steps), self.layout.strip, self._theme, self._type.em)
        self.running, self.closing = (
            self._sheet(captions, closing=closing) for captions, closing in zip(wordings, (False, True), strict=True)
        )

    def compose(self, shot: Shot) -> Frame:
        """The picture of a shot, in memory of its own.

        Raises:
            IndexError: the run has no such row.
            TrajectoryError: the row is damaged.
        """
        row, finished = shot.row, self._run.steps
        if not 0 <= row < len(self._run.x):
            raise IndexError(f"the run has rows 0 to {len(self._run.x) - 1} to show, not {row}")
        sheet = self.closing if row == finished else self.running
        picture = sheet.background.copy()
        images = [image for panel in self._panels for image in self._images.of(panel, row)]
        cells = [cell for place in self.layout.panels for cell in place.cells]
        _draw_images(picture, cells, images)
        self.strip.draw(picture, row)
        for text in sheet.texts:
            if isinstance(text.piece, Number):
                self._write(picture, text, row)
        return Frame(picture, shot.seconds)

    def frames(self, shots: Iterable[Shot]) -> Iterator[Frame]:
        """The pictures of shots, one after the other."""
        return map(self.compose, shots)

    def clip(self, shots: Sequence[Shot], fps: float, comment: str = "", *, video_fps: float | None = None) -> Clip:
        """What an encoder must know before the first of these shots."""
        turn = turning_point(shots)
        chosen = np.unique(np.linspace(0, turn, SAMPLES).round().astype(int))
        return Clip(
            width=self.width,
            height=self.height,
            fps=fps,
            seconds=tuple(shot.seconds for shot in shots),
            regions=self.regions,
            samples=lambda: self.frames(shots[index] for index in chosen),
            video_fps=video_fps,
            comment=comment,
            turn=turn,
        )

    def _sheet(self, captions: Sequence[Sequence[Caption]], *, closing: bool) -> Sheet:
        layout, type_ = self.layout, self._type
        texts = headings.title(self._run, layout.title, type_, closing=closing)
        for wordings, place in zip(captions, layout.panels, strict=True):
            texts += headings.caption(wordings, place.caption, type_)
        texts += headings.legend(self._run.info, self._curves, layout.legend, type_)
        background = np.empty((self.height, self.width, 3), np.uint8)
        background[:] = self._theme.background
        for place in layout.panels:
            for cell in place.cells:
                self._outline(background, cell)
        for text in texts:
            if not isinstance(text.piece, Number):
                self._write(background, text)
        return Sheet(background, tuple(texts))

    def _outline(self, picture: Pixels, cell: Box) -> None:
        line = max(self._type.em // 24, 1)
        picture[cell.y - line : cell.bottom + line, cell.x - line : cell.right + line] = self._theme.hairline

    def _write(self, picture: Pixels, text: Placed, row: int | None = None) -> None:
        blend(picture, text.mask(row), text.x, text.baseline, self._theme.ink(text.piece.ink))


def _draw_images(picture: NDArray[np.uint8], cells: Sequence[Box], images: Sequence[Pixels]) -> None:
    """Fill cells of a picture as `draw_image` does, with as many processors as there are."""
    quick = all(_is_repeated(cell, image) for cell, image in zip(cells, images, strict=True))
    spread = map if quick else threads().map  # Quick ones would only wait for the interpreter.
    for _ in spread(functools.partial(draw_image, picture), cells, images):
        pass


def _is_repeated(cell: Box, image: Pixels) -> bool:
    """Whether an image fills a cell when its pixels are repeated."""
    factor = cell.width // image.shape[1]
    return (cell.height, cell.width) == (factor * image.shape[0], factor * image.shape[1])


def draw_image(picture: NDArray[np.uint8], cell: Box, image: Pixels) -> None:
    """Fill a cell of a picture [H, W, 3] with an image [h, w, 3], in place.

    A whole multiple is made by repeating pixels; any other size by Lanczos' filter, which averages over all that one
    pixel stands for, so that fine detail does not turn into moiré.
    """
    place = picture[cell.slices]
    if _is_repeated(cell, image):
        factor = cell.width // image.shape[1]
        wide = image.repeat(factor, axis=1)
        for offset in range(factor):
            place[offset::factor] = wide
    else:
        place[:] = np.asarray(Image.fromarray(image).resize((cell.width, cell.height), Image.Resampling.LANCZOS))
