"""Composing frames: static parts are drawn once; images, cursor and numbers are added to each frame."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pixels import Pixels
from ..runs.quantities import Quantity
from ..scenes.phrases import Number
from ..scenes.scene import Part, Scene
from ..threads import ahead
from ..timeline.shots import Shot, turning_point
from .comparison import Comparison
from .film import FilmInfo, Frame, Region
from .headings import Type
from .layout import README_SIZE, Box, Size, check_text, text_size
from .lines import Placed, blend
from .panels import drawn
from .resizing import resized
from .single import Single
from .stage import Stage
from .themes import DEFAULT_THEME, Theme, theme_named

SAMPLES = 9
"""The number of frames from which an encoder chooses colours."""
SHOTS_AHEAD = 4
"""The number of shots whose images are read and fitted while another is composed."""


class ShotPixels:
    """The pixels of a shot's parts, each read once, as pictures of several sizes share them; used by one thread."""

    def __init__(self, rows: tuple[int, ...]) -> None:
        self._rows = rows
        self._pixels: dict[tuple[Quantity, int], Pixels] = {}

    def of(self, part: Part) -> Pixels:
        """The pixels of a part: uint8 [count, H, W, 3], not to be modified.

        Raises:
            TrajectoryError: the row is damaged.
        """
        key = part.panel.quantity, part.run
        if key not in self._pixels:
            self._pixels[key] = part.pixels(self._rows)
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
    ) -> None:
        """Lay out the pictures.

        Args:
            scene: what the pictures show.
            size: of the pictures.
            theme: a key of `themes.THEMES`.
            text: the scale of the text.

        Raises:
            SettingsError: a size or a name is not allowed.
        """
        self.scene, self._theme = scene, theme_named(theme)
        check_text(text)
        type_ = Type(round(text * text_size(*size)))
        self._line = max(type_.em // 24, 1)
        self.stage = _stage_of(scene, size, self._theme, type_)
        self.layout = self.stage.layout
        self._placed = tuple(zip(scene.parts, self.layout.panels, strict=True))
        self._shown = tuple((part, place) for part, place in self._placed if not part.is_drawn)
        self.width, self.height = self.layout.width, self.layout.height
        self.regions = tuple(
            Region(place.box.x, place.box.y, place.box.width, place.box.height, part.fidelity)
            for part, place in self._placed
        )
        self._drawings = [
            (
                part.run,
                place.box,
                drawn(scene.drawing_of(part), place.box.width, place.box.height, self._theme, type_.em),
            )
            for part, place in self._placed
            if part.is_drawn
        ]
        self._backdrops: dict[tuple[bool, ...], Backdrop] = {}
        self._sampled: dict[tuple[int, ...], list[Pixels]] = {}
        """The fitted images of the shots from which an encoder has chosen colours, as they are drawn again."""

    def backdrop(self, rows: Sequence[int]) -> Backdrop:
        """Everything but the images and the cursor, for a shot's rows: one for all steps, another for last samples."""
        ended = tuple(row == view.run.steps for row, view in zip(rows, self.scene.views, strict=True))
        if ended not in self._backdrops:
            self._backdrops[ended] = self._drawn(ended)
        return self._backdrops[ended]

    def images_of(self, rows: tuple[int, ...], pixels: ShotPixels | None = None) -> list[Pixels]:
        """The images of a shot, `fitted` to their cells, which takes most of the time of a picture. On any thread.

        Args:
            rows: the shot's.
            pixels: of these rows, to share them with another composer.

        Raises:
            IndexError: a run has no such row.
            TrajectoryError: the row is damaged.
        """
        for row, view in zip(rows, self.scene.views, strict=True):
            if not 0 <= row < len(view.run.x):
                raise IndexError(f"the run has rows 0 to {len(view.run.x) - 1} to show, not {row}")
        if rows in self._sampled:
            return self._sampled[rows]
        pixels = pixels or ShotPixels(rows)
        images = [image for part, _ in self._shown for image in pixels.of(part)]
        return list(map(fitted, self._cells, images))

    @property
    def _cells(self) -> list[Box]:
        return [cell for _, place in self._shown for cell in place.cells]

    def compose(self, shot: Shot, images: Sequence[Pixels] | None = None) -> Frame:
        """The picture of a shot, in a new array.

        Args:
            shot: what it shows.
            images: from `images_of`, if they are there already.

        Raises:
            IndexError: a run has no such row.
            TrajectoryError: the row is damaged.
        """
        images = self.images_of(shot.rows) if images is None else images
        backdrop = self.backdrop(shot.rows)
        picture = backdrop.pixels.copy()
        for cell, image in zip(self._cells, images, strict=True):
            draw_image(picture, cell, image)
        for run, box, drawing in self._drawings:
            picture[box.slices] = drawing.at(shot.rows[run])
        self.stage.draw(picture, shot.rows)
        for run, text in backdrop.texts:
            if isinstance(text.piece, Number):
                self._write(picture, text, shot.rows[run])
        return Frame(picture, shot.seconds)

    def frames(self, shots: Iterable[Shot]) -> Iterator[Frame]:
        """The pictures of shots, one by one."""
        return (frame for (frame,) in frames_of((self,), shots))

    def _samples(self, shots: Sequence[Shot]) -> Iterator[Frame]:
        """The pictures from which an encoder chooses colours."""
        with contextlib.closing(ahead(lambda shot: self.images_of(shot.rows), shots, SHOTS_AHEAD)) as fitted_images:
            for shot, images in zip(shots, fitted_images, strict=True):
                self._sampled[shot.rows] = images
                yield self.compose(shot, images)

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
            samples=lambda: self._samples([shots[index] for index in chosen]),
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
            for cell in () if part.is_drawn else place.cells:
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


def frames_of(composers: Sequence[Composer], shots: Iterable[Shot]) -> Generator[tuple[Frame, ...]]:
    """The pictures of each shot by composers of one scene, in order.

    Images are read and fitted on threads, up to `SHOTS_AHEAD` shots ahead. To be closed before its end, which waits for
    what is being read.

    Raises:
        IndexError: a run has no such row.
        TrajectoryError: a row is damaged.
    """

    def fitted_to_each(shot: Shot) -> tuple[Shot, list[list[Pixels]]]:
        pixels = ShotPixels(shot.rows)
        return shot, [composer.images_of(shot.rows, pixels) for composer in composers]

    with contextlib.closing(ahead(fitted_to_each, shots, SHOTS_AHEAD)) as fitted_images:
        for shot, each in fitted_images:
            yield tuple(composer.compose(shot, images) for composer, images in zip(composers, each, strict=True))


def _is_repeated(cell: Box, image: Pixels) -> bool:
    """Whether repeating an image's pixels makes it fill a cell."""
    factor = cell.width // image.shape[1]
    return (cell.height, cell.width) == (factor * image.shape[0], factor * image.shape[1])


def fitted(cell: Box, image: Pixels) -> Pixels:
    """An image [h, w, 3] as it is if its pixels can be repeated to fill a cell; else `resized` to the cell."""
    if _is_repeated(cell, image):
        return image
    return resized(image, cell.width, cell.height)


def draw_image(picture: NDArray[np.uint8], cell: Box, image: Pixels) -> None:
    """Fill a cell of a picture [H, W, 3] with an image [h, w, 3], in place, by repeating the pixels of what `fitted`
    makes of it.
    """
    image, place = fitted(cell, image), picture[cell.slices]
    factor = cell.width // image.shape[1]
    wide = image.repeat(factor, axis=1) if factor > 1 else image
    for offset in range(factor):
        place[offset::factor] = wide
