"""Composing frames: static parts are drawn once; images, cursor and numbers are added to each frame."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..pixels import Pixels
from ..runs.quantities import Quantity
from ..scenes.phrases import Number
from ..scenes.scene import Part, Scene
from ..threads import threads
from ..timeline.shots import Shot, turning_point
from .comparison import Comparison
from .film import FilmInfo, Frame, Region
from .headings import Type
from .layout import README_SIZE, Box, Size, check_text, text_size
from .lines import Placed, blend
from .plots import DrawnPlot
from .single import Single
from .stage import Stage
from .themes import DEFAULT_THEME, Theme, theme_named

SAMPLES = 9
"""The number of frames from which an encoder chooses colours."""


class ShotPixels:
    """The pixels of a scene's parts. Those of the last shot are cached, as pictures of several sizes share them."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._rows: tuple[int, ...] = ()
        self._pixels: dict[tuple[Quantity, int], Pixels] = {}

    def of(self, part: Part, rows: tuple[int, ...]) -> Pixels:
        """The pixels of a part: uint8 [count, H, W, 3], not to be modified.

        Raises:
            TrajectoryError: the row is damaged.
        """
        if rows != self._rows:
            self._rows, self._pixels = rows, {}
        key = part.panel.quantity, part.run
        if key not in self._pixels:
            self._pixels[key] = part.pixels(rows)
        return self._pixels[key]


@dataclass(frozen=True, eq=False)
class Backdrop:
    """A picture without its images and its cursor."""

    pixels: Pixels
    """uint8 [H, W, 3], with the static text."""
    texts: tuple[tuple[int, Placed], ...]
    """All text, static or changing, each with the index of its run."""


class Composer:
    """Draws the pictures of a scene.

    Attributes:
        scene: what the pictures show.
        width: of every picture, in pixels.
        height: of every picture, in pixels.
        regions: the positions of the panels.
        layout: the positions of everything.
        stage: everything but the panels.
    """

    def __init__(
        self,
        scene: Scene,
        *,
        size: Size = README_SIZE,
        theme: str = DEFAULT_THEME,
        text: float = 1.0,
        pixels: ShotPixels | None = None,
    ) -> None:
        """Lay out the pictures.

        Args:
            scene: what the pictures show.
            size: of the pictures.
            theme: a key of `themes.THEMES`.
            text: the scale of the text.
            pixels: of this scene, to share them with another composer.

        Raises:
            SettingsError: a size or a name is not allowed.
        """
        self.scene, self._theme = scene, theme_named(theme)
        self._pixels = pixels or ShotPixels(scene)
        check_text(text)
        type_ = Type(round(text * text_size(*size)))
        self._line = max(type_.em // 24, 1)
        self.stage = _stage_of(scene, size, self._theme, type_)
        self.layout = self.stage.layout
        self._placed = tuple(zip(scene.parts, self.layout.panels, strict=True))
        self.width, self.height = self.layout.width, self.layout.height
        self.regions = tuple(
            Region(place.box.x, place.box.y, place.box.width, place.box.height, part.panel.fidelity)
            for part, place in self._placed
        )
        self._plots = [
            (
                part.run,
                place.box,
                DrawnPlot(scene.plot_of(part), place.box.width, place.box.height, self._theme, type_.em),
            )
            for part, place in self._placed
            if part.is_plot
        ]
        self._backdrops: dict[tuple[bool, ...], Backdrop] = {}

    def backdrop(self, rows: Sequence[int]) -> Backdrop:
        """Everything but the images and the cursor, for a shot's rows: one for all steps, another for last samples."""
        ended = tuple(row == view.run.steps for row, view in zip(rows, self.scene.views, strict=True))
        if ended not in self._backdrops:
            self._backdrops[ended] = self._drawn(ended)
        return self._backdrops[ended]

    def compose(self, shot: Shot) -> Frame:
        """The picture of a shot, in a new array.

        Raises:
            IndexError: a run has no such row.
            TrajectoryError: the row is damaged.
        """
        for row, view in zip(shot.rows, self.scene.views, strict=True):
            if not 0 <= row < len(view.run.x):
                raise IndexError(f"the run has rows 0 to {len(view.run.x) - 1} to show, not {row}")
        backdrop = self.backdrop(shot.rows)
        picture = backdrop.pixels.copy()
        shown = [(part, place) for part, place in self._placed if not part.is_plot]
        images = [image for part, _ in shown for image in self._pixels.of(part, shot.rows)]
        _draw_images(picture, [cell for _, place in shown for cell in place.cells], images)
        for run, box, plot in self._plots:
            picture[box.slices] = plot.at(shot.rows[run])
        self.stage.draw(picture, shot.rows)
        for run, text in backdrop.texts:
            if isinstance(text.piece, Number):
                self._write(picture, text, shot.rows[run])
        return Frame(picture, shot.seconds)

    def frames(self, shots: Iterable[Shot]) -> Iterator[Frame]:
        """The pictures of shots, one by one."""
        return map(self.compose, shots)

    def film(self, shots: Sequence[Shot], fps: float, comment: str = "", *, video_fps: float | None = None) -> FilmInfo:
        """What an encoder must know before the first frame of these shots."""
        turn = turning_point(shots)
        chosen = np.unique(np.linspace(0, turn, SAMPLES).round().astype(int))
        return FilmInfo(
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

    def _drawn(self, ended: Sequence[bool]) -> Backdrop:
        """The backdrop, where ``ended`` says which runs have reached their last sample."""
        texts = tuple(self.stage.texts(ended))
        pixels = np.empty((self.height, self.width, 3), np.uint8)
        pixels[:] = self._theme.background
        for part, place in self._placed:
            for cell in () if part.is_plot else place.cells:
                self._outline(pixels, cell)
        for _, text in texts:
            if not isinstance(text.piece, Number):
                self._write(pixels, text)
        return Backdrop(pixels, texts)

    def _outline(self, picture: Pixels, cell: Box) -> None:
        line = self._line
        picture[cell.y - line : cell.bottom + line, cell.x - line : cell.right + line] = self._theme.hairline

    def _write(self, picture: Pixels, text: Placed, row: int | None = None) -> None:
        blend(picture, text.mask(row), text.x, text.baseline, self._theme.ink(text.piece.ink))


def _stage_of(scene: Scene, size: Size, theme: Theme, type_: Type) -> Stage:
    stage = Single if scene.comparison is None else Comparison
    return stage(scene, size=size, theme=theme, type_=type_)


def _draw_images(picture: NDArray[np.uint8], cells: Sequence[Box], images: Sequence[Pixels]) -> None:
    """Call `draw_image` for each cell, on several threads."""
    quick = all(_is_repeated(cell, image) for cell, image in zip(cells, images, strict=True))
    spread = map if quick else threads().map  # Threads with quick work would only wait for the interpreter.
    for _ in spread(functools.partial(draw_image, picture), cells, images):
        pass


def _is_repeated(cell: Box, image: Pixels) -> bool:
    """Whether repeating an image's pixels makes it fill a cell."""
    factor = cell.width // image.shape[1]
    return (cell.height, cell.width) == (factor * image.shape[0], factor * image.shape[1])


def draw_image(picture: NDArray[np.uint8], cell: Box, image: Pixels) -> None:
    """Fill a cell of a picture [H, W, 3] with an image [h, w, 3], in place.

    For a whole multiple of its size, pixels are repeated. Other sizes use a Lanczos filter, which averages over the
    source area of each pixel, so that fine detail does not become moiré.
    """
    place = picture[cell.slices]
    if _is_repeated(cell, image):
        factor = cell.width // image.shape[1]
        wide = image.repeat(factor, axis=1)
        for offset in range(factor):
            place[offset::factor] = wide
    else:
        place[:] = np.asarray(Image.fromarray(image).resize((cell.width, cell.height), Image.Resampling.LANCZOS))
