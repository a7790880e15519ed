"""The contact sheet: chosen timesteps side by side for print, with a row for each panel and t under each column.

It is the static figure known from courses on diffusion. One layout, at `SHEET_DPI` pixels per inch, is drawn in two
ways: as pixels here, and with text and lines as vectors in `diffanim.files.pdf`. On a sheet of the default width, text
is 8 points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

import numpy as np

from ..errors import SettingsError
from ..pixels import Pixels
from ..runs.noising import rescaled
from ..scenes.phrases import Maths, Number, Phrase, Piece, Term, Words
from ..scenes.readouts import noise_left_readout, noise_readout, time_readout
from ..scenes.scene import Part, Scene
from ..scenes.views import View
from .composer import draw_image
from .layout import Box, Grid, best_grid, check_largest, check_size, check_text, even, text_size
from .lines import Placed, Sizes, blend, place, width
from .panels import drawn
from .themes import Theme

_LABEL = 14
"""Letters in a line of a run's name."""


@dataclass(frozen=True, eq=False)
class PlacedImage:
    """An image and its position."""

    image: Pixels
    """uint8 [h, w, 3], in its own pixels."""
    box: Box
    outlined: bool = True
    """Whether it has a hairline around it, so that the edge of a white image shows on white paper."""


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
    parts = scene.parts
    names = [_named(scene, part) for part in parts]
    left = type_.margin + max(type_.block_width(name) for name in names) + type_.em // 2
    across = (width - left - type_.margin - (len(shots) - 1) * type_.column_gap) // len(shots)
    if across < 2 * type_.em:
        raise SettingsError(f"{len(shots)} columns do not fit into {width} pixels; use fewer columns or a wider sheet")
    grids = [_grid(view, across, gap=type_.image_gap, whole=whole) for view in scene.views]
    column = max(grid.width for grid in grids)
    lefts = [left + number * (column + type_.column_gap) for number in range(len(shots))]
    images: list[PlacedImage] = []
    texts: list[Placed] = []
    bottom = -type_.row_gap + type_.margin
    for run, grid in enumerate(grids):
        for part, name in zip(parts, names, strict=True):
            if part.run != run:
                continue
            top, block = bottom + type_.row_gap, type_.block_height(name)
            # Runs are told apart by their names, which must not run into each other.
            tall = max(grid.height, block) if scene.comparison else grid.height
            bottom = top + tall
            images += _row(
                scene, part, shots, [Box(x, top, grid.width, grid.height) for x in lefts], grid, theme, type_.em
            )
            texts += type_.centred(name, type_.margin, None, top + (tall - block) // 2)
        under = bottom + round(0.25 * type_.em)
        readouts = [_readout(scene.views[run], rows[run], scene.terms) for rows in shots]
        for phrases, x in zip(readouts, lefts, strict=True):
            texts += type_.centred(phrases, x, grid.width, under)
        bottom = under + max(type_.block_height(phrases) for phrases in readouts)
    height = bottom + type_.margin
    line = max(type_.em // 24, 1)
    across = lefts[-1] + column + type_.margin
    check_largest(across, even(height))
    return ContactSheet(across, even(height), tuple(images), tuple(texts), line, theme)


def paint(sheet: ContactSheet) -> Pixels:
    """The sheet as uint8 [H, W, 3]."""
    picture = np.empty((sheet.height, sheet.width, 3), np.uint8)
    picture[:] = sheet.theme.background
    for placed in sheet.images:
        box, line = placed.box, sheet.line
        if placed.outlined:
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
        return Sizes(0.85 * self.em, (1.5 if _is_symbol(phrase) else 1.1) * self.em)

    def line_height(self, phrase: Phrase) -> int:
        return round((1.7 if _is_symbol(phrase) else 1.25) * self.em)

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


def _is_symbol(phrase: Phrase) -> bool:
    return len(phrase) == 1 and isinstance(phrase[0], Maths) and phrase[0].ink == "strong"


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
    scene: Scene, part: Part, shots: Sequence[tuple[int, ...]], boxes: Sequence[Box], grid: Grid, theme: Theme, em: int
) -> Iterator[PlacedImage]:
    """A part at every column; a column stays empty where the part has nothing to show."""
    if part.is_drawn:
        drawing = drawn(scene.drawing_of(part), grid.width, grid.height, theme, em)
        pictures = (drawing.at(rows[part.run]) for rows in shots)
        yield from (PlacedImage(picture, box, outlined=False) for picture, box in zip(pictures, boxes, strict=True))
        return
    for rows, box in zip(shots, boxes, strict=True):
        if part.is_of(rows):
            cells = grid.cells(box.x, box.y, part.view.count)
            yield from map(PlacedImage, part.pixels(rows), cells)


def _named(scene: Scene, part: Part) -> tuple[Phrase, ...]:
    """The text beside a row of the sheet, line by line; the first row of one of several runs names the run."""
    words = part.panel.sheet_words(part.view)
    symbol, term = Maths(part.panel.symbol_in(part.view)), scene.term_of(part)
    about: tuple[Phrase, ...] = (((*term.symbols, symbol) if term else (symbol,)), *((Words(word),) for word in words))
    if scene.comparison is None or part.panel != scene.panels[0]:
        return about
    label = min(scene.comparison.labels[part.run], key=len)
    return (*((Words(line, "strong"),) for line in wrap(label, _LABEL)), *about)


def _readout(view: View, row: int, terms: Sequence[Term] = ()) -> tuple[Phrase, ...]:
    """The text under a column: t, and the factors of an equation, or if samples are rescaled the noise."""
    run = view.run
    ended = row == run.steps and not run.is_forward
    if ended and not run.finished:
        return (Words("noise left"),), noise_left_readout(run)
    factors = tuple(_fixed(piece, row) for term in terms for piece in ((term.factor,) if term.factor else term.note))
    noise = (noise_readout(run),) if rescaled(run) and not factors else ()
    by = wrap(view.finished_by, _LABEL) if view.manner == "tiny" else ()  # Unlike the other columns.
    finished = ((Words("finished"),), *((Words(line),) for line in by))
    readouts = finished if ended else (time_readout(run), *noise)
    fixed = tuple(tuple(_fixed(piece, row) for piece in phrase) for phrase in readouts)
    return *fixed, *((factors,) if factors else ())


def _fixed(piece: Piece, row: int) -> Piece:
    """A number replaced by its text at one row."""
    return Maths(piece.strings[row].strip(), piece.ink) if isinstance(piece, Number) else piece
