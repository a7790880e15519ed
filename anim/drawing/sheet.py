"""The contact sheet: chosen timesteps side by side for print, with a row for each panel and t under each column.

It is the static figure known from courses on diffusion. One layout, at `SHEET_DPI` pixels per inch, is drawn in two
ways: as pixels here, and with text and lines as vectors in `diffanim.files.pdf`. On a sheet of the default width, text
is 8 points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import SettingsError
from ..pixels import Pixels
from ..runs.noising import rescaled
from ..runs.trajectory import Trajectory
from ..scenes.phrases import Maths, Number, Phrase, Piece, Words
from ..scenes.readouts import noise_left_readout, noise_readout, time_readout
from ..scenes.scene import Part, Scene
from ..scenes.views import View
from .composer import draw_image
from .layout import Box, Grid, best_grid, check_largest, check_size, check_text, even, text_size
from .lines import Placed, Sizes, blend, place, width
from .plots import DrawnPlot
from .themes import Theme


@dataclass(frozen=True, eq=False)
class PlacedImage:
    """An image and its position."""

    image: Pixels
    """uint8 [h, w, 3], in its own pixels."""
    box: Box


@dataclass(frozen=True, eq=False)
class ContactSheet:
    """The position of everything."""

    width: int
    height: int
    images: tuple[PlacedImage, ...]
    texts: tuple[Placed, ...]
    line: int
    """The width of the hairline around each image, in pixels."""
    theme: Theme


def lay_out(
    scene: Scene, shots: Sequence[tuple[int, ...]], *, theme: Theme, width: int, text: float, whole: bool
) -> ContactSheet:
    """Lay out the sheet.

    Args:
        scene: what the sheet shows.
        shots: the row of each run for every column, from left to right.
        theme: its colours.
        width: the maximum, in pixels; the height follows.
        text: the scale of the text.
        whole: whether to enlarge images by whole factors only, as a sheet in pixels needs; it may become narrower.

    Raises:
        SettingsError: the columns leave no room for images.
    """
    check_size(width, None)
    check_text(text)
    type_ = _Type(round(text * text_size(width, None)))
    lead, parts = scene.lead, scene.parts
    names = [_named(part) for part in parts]
    left = type_.margin + max(type_.block_width(name) for name in names) + type_.em // 2
    across = (width - left - type_.margin - (len(shots) - 1) * type_.column_gap) // len(shots)
    if across < 2 * type_.em:
        raise SettingsError(f"{len(shots)} columns do not fit into {width} pixels; use fewer columns or a wider sheet")
    grid = _grid(lead, across, gap=type_.image_gap, whole=whole)
    tops = [type_.margin + number * (grid.height + type_.row_gap) for number in range(len(parts))]
    lefts = [left + column * (grid.width + type_.column_gap) for column in range(len(shots))]
    under = tops[-1] + grid.height + round(0.25 * type_.em)
    images = [
        image
        for part, top in zip(parts, tops, strict=True)
        for image in _row(part, shots, [Box(x, top, grid.width, grid.height) for x in lefts], grid, theme, type_.em)
    ]
    texts = [
        text
        for name, top in zip(names, tops, strict=True)
        for text in type_.centred(name, type_.margin, None, top + (grid.height - type_.block_height(name)) // 2)
    ]
    readouts = [_readout(lead.run, rows[0]) for rows in shots]
    for phrases, x in zip(readouts, lefts, strict=True):
        texts += type_.centred(phrases, x, grid.width, under)
    height = under + max(type_.block_height(phrases) for phrases in readouts) + type_.margin
    line = max(type_.em // 24, 1)
    across = lefts[-1] + grid.width + type_.margin
    check_largest(across, even(height))
    return ContactSheet(across, even(height), tuple(images), tuple(texts), line, theme)


def paint(sheet: ContactSheet) -> Pixels:
    """The sheet as uint8 [H, W, 3]."""
    picture = np.empty((sheet.height, sheet.width, 3), np.uint8)
    picture[:] = sheet.theme.background
    for placed in sheet.images:
        box, line = placed.box, sheet.line
        picture[box.y - line : box.bottom + line, box.x - line : box.right + line] = sheet.theme.hairline
        draw_image(picture, box, placed.image)
    for text in sheet.texts:
        blend(picture, text.mask(), text.x, text.baseline, sheet.theme.ink(text.piece.ink))
    return picture


@dataclass(frozen=True)
class _Type:
    """Type sizes and distances, in pixels."""

    em: int

    @property
    def margin(self) -> int:
        """Around everything; small, as the page has margins of its own."""
        return max(round(0.25 * self.em), 2)

    @property
    def column_gap(self) -> int:
        return max(round(0.4 * self.em), 4)

    @property
    def row_gap(self) -> int:
        return max(round(0.6 * self.em), 6)

    @property
    def image_gap(self) -> int:
        return max(round(0.12 * self.em), 2)

    def sizes(self, phrase: Phrase) -> Sizes:
        """The type sizes of a line; a symbol on its own is larger."""
        alone = len(phrase) == 1 and isinstance(phrase[0], Maths)
        return Sizes(0.85 * self.em, (1.5 if alone else 1.1) * self.em)

    def line_height(self, phrase: Phrase) -> int:
        alone = len(phrase) == 1 and isinstance(phrase[0], Maths)
        return round((1.7 if alone else 1.25) * self.em)

    def block_width(self, phrases: Sequence[Phrase]) -> int:
        return max(width(phrase, self.sizes(phrase)) for phrase in phrases)

    def block_height(self, phrases: Sequence[Phrase]) -> int:
        return sum(self.line_height(phrase) for phrase in phrases)

    def centred(self, phrases: Sequence[Phrase], x: int, room: int | None, top: int) -> Iterator[Placed]:
        """Lines, centred within ``room``, or within the widest line if it is None."""
        room = self.block_width(phrases) if room is None else room
        for phrase in phrases:
            sizes = self.sizes(phrase)
            top += self.line_height(phrase)
            yield from place(phrase, sizes, x + (room - width(phrase, sizes)) // 2, top - round(0.3 * self.em))


def _grid(view: View, across: int, *, gap: int, whole: bool) -> Grid:
    """The arrangement of one timestep's images, about square, or shaped like an image if that is tall."""
    image = view.size
    room = across, round(across * max(1, image[0] / image[1]))
    grid = best_grid(view.count, image, room, gap=gap, smooth=True)
    if whole:
        return grid
    cell = (across - (grid.columns - 1) * grid.gap) // grid.columns // 2 * 2
    return replace(grid, cell_width=cell, cell_height=max(round(cell * image[0] / image[1]), 1))


def _row(
    part: Part, shots: Sequence[tuple[int, ...]], boxes: Sequence[Box], grid: Grid, theme: Theme, em: int
) -> Iterator[PlacedImage]:
    """A part at every column; a column stays empty where the part has nothing to show."""
    if part.is_plot:
        plot = DrawnPlot(part.panel.plot(part.view), grid.width, grid.height, theme, em)
        yield from (PlacedImage(plot.at(rows[part.run]), box) for rows, box in zip(shots, boxes, strict=True))
        return
    for rows, box in zip(shots, boxes, strict=True):
        if part.is_of(rows):
            cells = grid.cells(box.x, box.y, part.view.count)
            yield from map(PlacedImage, part.pixels(rows), cells)


def _named(part: Part) -> tuple[Phrase, ...]:
    """The text beside a row of the sheet, line by line."""
    return (Maths(part.panel.symbol),), *((Words(line),) for line in part.panel.sheet_words(part.view))


def _readout(run: Trajectory, row: int) -> tuple[Phrase, ...]:
    """The text under a column: t, and if samples are rescaled the noise, which t does not show."""
    if row == run.steps and not run.is_forward:
        return ((Words("finished"),),) if run.finished else ((Words("noise left"),), noise_left_readout(run))
    readouts = (time_readout(run), noise_readout(run)) if rescaled(run) else (time_readout(run),)
    return tuple(tuple(_fixed(piece, row) for piece in phrase) for phrase in readouts)


def _fixed(piece: Piece, row: int) -> Piece:
    """A number replaced by its text at one row."""
    return Maths(piece.strings[row].strip(), piece.ink) if isinstance(piece, Number) else piece
