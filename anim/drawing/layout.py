"""Where everything goes: from the number and the size of the images and the picture's size to boxes, in whole pixels.

From top to bottom: the title line, a caption over each panel, the panels side by side, the schedule strip, its legend.
The panels get all the room that the lines of text leave, and the images in them are drawn as large as fits. Panels
may also lie in several rows, each with its captions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..errors import SettingsError

TEXT_RANGE = (0.5, 3.0)
"""How much smaller and larger than usual text may be."""
Size = tuple[int, int | None]
"""(width, height) in pixels; where the height is None it follows the content, and the width is the most."""
README_WIDTH = 830
"""As wide as GitHub shows a README's pictures."""
README_SIZE: Size = (README_WIDTH, None)
LECTURE_SIZE = (1920, 1080)
"""Full HD."""
SHEET_SIZE: Size = (1950, None)
"""A contact sheet: 6.5 inches, the text width of a page with the usual margins."""
SHEET_DPI = 300
"""Pixels of it that make an inch."""
DEFAULT_COLUMNS = 6
"""Timesteps on it."""
SMALLEST_WIDTH = 240
LARGEST = (16000, 8700)
"""Pixels that every format holds: WebP has no more across, AV1 no more down."""
MOST_PIXELS = 2**25
"""A few more than 8K video has: a film of them takes gigabytes of memory while it is written."""
SMALLEST_TEXT = 12
"""1 em in pixels; below it nobody reads."""

_NARROWEST_GAP = 2
"""Pixels between two images: room for the hairline around each."""
_TALLEST_ROOM = (1.2, 1.4)
"""Where only a width is given, a panel's room is at most this much higher than wide; the second if images are tall."""
_NOTICED = 1.15
"""How much larger an image's area has to be to count as larger."""
_WORTH_SMOOTHING = 1.25
"""Between 1 and 2, an image is enlarged (smoothly, as no whole factor fits) only if that makes it this much larger."""


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels from the picture's top left."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column outside of it."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row outside of it."""
        return self.y + self.height

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns, to index [H, W, …]."""
        return slice(self.y, self.bottom), slice(self.x, self.right)


@dataclass(frozen=True)
class Line:
    """A line of text."""

    x: int
    width: int
    baseline: int
    """The first row below it."""

    @property
    def right(self) -> int:
        """The first column outside of it."""
        return self.x + self.width


@dataclass(frozen=True)
class LineHeights:
    """How far text goes above and below its baseline, in pixels."""

    title: tuple[int, int]
    caption: tuple[int, int]
    legend: tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """How a panel's images are arranged."""

    columns: int
    rows: int
    cell_width: int
    """Of an image as it is shown, in pixels."""
    cell_height: int
    gap: int
    """Pixels between two cells, which all begin on even pixels."""

    @property
    def width(self) -> int:
        """Of the whole panel, in pixels."""
        return self.columns * (even(self.cell_width) + self.gap) - self.gap

    @property
    def height(self) -> int:
        """Of the whole panel, in pixels."""
        return self.rows * (even(self.cell_height) + self.gap) - self.gap

    def cells(self, x: int, y: int, count: int) -> Iterator[Box]:
        """The first ``count`` cells of a panel at (x, y), row by row."""
        for index in range(count):
            row, column = divmod(index, self.columns)
            left = x + column * (even(self.cell_width) + self.gap)
            upper = y + row * (even(self.cell_height) + self.gap)
            yield Box(left, upper, self.cell_width, self.cell_height)

    def across(self, panels: int, space: _Spacing) -> int:
        """How wide a picture of so many panels is."""
        return panels * self.width + (panels - 1) * space.gutter + 2 * space.margin


@dataclass(frozen=True)
class PanelPlace:
    """Where one panel goes."""

    box: Box
    """Around its cells."""
    cells: tuple[Box, ...]
    """One for each image, all of one size."""
    caption: Line


@dataclass(frozen=True)
class Layout:
    """Where everything goes."""

    width: int
    height: int
    title: Line
    panels: tuple[PanelPlace, ...]
    strip: Box
    legend: Line


def text_size(width: int, height: int | None) -> int:
    """1 em of the text, in pixels: a sixtieth of the width, so 32 at Full HD; small pictures need more: 16 at 830."""
    across = width if height is None else min(width, height * 16 / 9)
    legible = min(SMALLEST_TEXT + (across - 480) / 90, 16)
    return round(max(SMALLEST_TEXT, legible, across / 60))


def check_text(text: float) -> None:
    """Text beyond `TEXT_RANGE` is not read, or leaves no room for images.

    Raises:
        SettingsError: it is beyond.
    """
    if not TEXT_RANGE[0] <= text <= TEXT_RANGE[1]:
        raise SettingsError(
            f"text is {text:g} times the usual size; it must be from {TEXT_RANGE[0]} to {TEXT_RANGE[1]}"
        )


def arrange(
    count: int,
    image: tuple[int, int],
    *,
    width: int,
    height: int | None = None,
    lines: LineHeights,
    panels: int = 2,
    beside: int = 2,
    em: int | None = None,
    columns: int | None = None,
) -> Layout:
    """Lay a picture out.

    Args:
        count: how many images each panel shows.
        image: (height, width) of one, in its own pixels.
        width: of the picture, in pixels; where no height is given, the most: it shrinks to what the images fill.
        height: of the picture; None for as high as its content.
        lines: the heights of its text.
        panels: how many there are.
        beside: how many of them stand in a row.
        em: the size of the text, in pixels; None for what suits the width.
        columns: how many images stand in a row of a panel; None for the best arrangement.

    Raises:
        SettingsError: the picture is too small for anything to be seen.
    """
    check_size(width, height)
    em = em or text_size(width, height)
    beside = min(beside, panels)
    below = math.ceil(panels / beside)
    fits = [
        (best_grid(count, image, room, gap=space.gap, smooth=height is not None, columns=columns), space)
        for space in (_Spacing.of(em), _Spacing.of(em).tightened(em))
        if min(room := _room(image, width, height, beside, below, space, space.chrome(lines, below))) >= em
    ]
    if not fits:
        raise SettingsError(f"{_size(width, height)} pixels leave no room for images; make the picture larger")
    grid, space = max(fits, key=lambda fit: _rank(fit[0]))  # Of equals the first, which is the more spacious.
    if height is not None:
        room = _room(image, width, height, beside, below, space, space.chrome(lines, below))
        space = space.stretched(em, width - grid.across(beside, space), below * (room[1] - grid.height), beside)
    size = (grid.across(beside, space), even(space.chrome(lines, below) + below * grid.height))
    check_largest(*size)
    return _place(grid, count, panels, beside, space, lines, size if height is None else (width, height))


def _room(
    image: tuple[int, int], width: int, height: int | None, beside: int, below: int, space: _Spacing, chrome: int
) -> tuple[int, int]:
    """(width, height) that one panel may have at most."""
    across = (width - 2 * space.margin - (beside - 1) * space.gutter) // beside
    tallest = min(max(image[0] / image[1], _TALLEST_ROOM[0]), _TALLEST_ROOM[1])
    return across, round(across * tallest) if height is None else (height - chrome) // below


def _rank(grid: Grid) -> int:
    """How large a grid's images are, in steps that the eye notices: nothing else is given up for less than one."""
    return math.floor(math.log(grid.cell_width * grid.cell_height, _NOTICED))


def best_grid(
    count: int, image: tuple[int, int], room: tuple[int, int], *, gap: int, smooth: bool, columns: int | None = None
) -> Grid:
    """The arrangement with the largest images; of equal ones the fullest, the squarest, the widest, the airiest.

    Args:
        count: of images.
        image: (height, width) of one, in its own pixels.
        room: (width, height) for all of them.
        gap: pixels between two; less where that makes room for larger images.
        smooth: whether images between once and twice enlarged may be resampled.
        columns: how many stand in a row, if that is not to be chosen.
    """

    def merit(grid: Grid) -> tuple[float, ...]:
        squareness = -abs(math.log(grid.width / grid.height))
        used = grid.columns * grid.rows
        return _rank(grid), -used, round(squareness, 2), grid.columns, grid.gap

    candidates = [
        Grid(across, rows, *shown_size(image, cell, smooth=smooth), narrow)
        for across in (range(1, count + 1) if columns is None else (columns,))
        for rows in [math.ceil(count / across)]
        for narrow in sorted({gap, _NARROWEST_GAP})
        for cell in [(_share(room[0], across, narrow), _share(room[1], rows, narrow))]
        if min(cell) >= 2
    ]
    if not candidates:
        raise SettingsError(f"{count} images do not fit; make the picture larger or show fewer of them")
    return max(candidates, key=merit)


def _share(room: int, cells: int, gap: int) -> int:
    """The even number of pixels that each of so many cells gets."""
    return (room - (cells - 1) * gap) // cells // 2 * 2


def shown_size(image: tuple[int, int], cell: tuple[int, int], *, smooth: bool) -> tuple[int, int]:
    """How large an image is shown: (width, height) of the picture's pixels.

    A whole multiple of its own size, so that every pixel of it stays a sharp square; or smaller, where it has to be.
    Between once and twice its size no whole factor helps: with ``smooth`` it is enlarged all the same, if that gains
    enough.

    Args:
        image: (height, width), in its own pixels.
        cell: (width, height) that it must fit into, in the picture's pixels.
        smooth: whether resampling it for a larger size is allowed.
    """
    height, width = image
    factor = min(cell[0] / width, cell[1] / height)
    if factor >= 2 or (1 <= factor < _WORTH_SMOOTHING) or (factor >= 1 and not smooth):
        return math.floor(factor) * width, math.floor(factor) * height
    # Whole and even, as video needs, and at least something.
    return max(round(width * factor / 2) * 2, 2), max(round(height * factor / 2) * 2, 2)


def even(length: int) -> int:
    """The next even number, which keeps a video's colour pairs within one image."""
    return length + length % 2


@dataclass(frozen=True)
class _Spacing:
    """What separates things, in pixels, all even."""

    margin: int
    """Left and right."""
    top: int
    bottom: int
    gutter: int
    """Between two panels."""
    gap: int
    """Between two images."""
    under_title: int
    under_caption: int
    over_strip: int
    strip: int
    """How high the schedule is."""
    under_strip: int

    @classmethod
    def of(cls, em: int) -> _Spacing:
        """The tightest that looks good with text of this size."""

        def ems(count: float) -> int:
            return 2 * round(count * em / 2)

        return cls(
            margin=ems(0.9),
            top=ems(0.8),
            bottom=ems(0.8),
            gutter=ems(1.3),
            gap=max(ems(0.25), 4),
            under_title=ems(0.6),
            under_caption=ems(0.3),
            over_strip=ems(0.65),
            strip=ems(1.6),
            under_strip=ems(0.4),
        )

    def tightened(self, em: int) -> _Spacing:
        """For images that would just miss their next whole factor: less room beside the panels and between them."""
        return replace(self, margin=2 * round(0.25 * em), gutter=2 * round(0.35 * em))

    def chrome(self, lines: LineHeights, below: int) -> int:
        """How much of the picture's height is not panels, of which so many lie below each other."""
        gaps = (self.top, self.under_title, self.over_strip, self.under_strip, self.bottom)
        captions = below * self.caption(lines) + (below - 1) * self.under_title
        return even(sum(gaps) + self.strip + sum(lines.title) + captions + sum(lines.legend))

    def caption(self, lines: LineHeights) -> int:
        """From the top of a caption to the images below it."""
        return even(sum(lines.caption) + self.under_caption)

    def stretched(self, em: int, across: int, down: int, beside: int) -> _Spacing:
        """Spread room that the images cannot use: some into a higher schedule and wider gaps, the rest all round."""

        def share(part: float, most: float, room: int) -> int:
            return 2 * int(min(part * room, most * em) / 2)

        gutter, strip = share(1 / 3, 2, across) if beside > 1 else 0, share(0.4, 3, down)
        title, over = share(0.12, 0.8, down), share(0.12, 0.8, down)
        rest = down - strip - title - over
        return replace(
            self,
            margin=self.margin + (across - gutter) // 4 * 2,
            gutter=self.gutter + gutter,
            strip=self.strip + strip,
            under_title=self.under_title + title,
            over_strip=self.over_strip + over,
            top=self.top + rest // 4 * 2,
        )


def _place(
    grid: Grid, count: int, panels: int, beside: int, space: _Spacing, lines: LineHeights, size: tuple[int, int]
) -> Layout:
    inside = grid.across(beside, space) - 2 * space.margin
    title = space.top + lines.title[0]
    first = title + lines.title[1] + space.under_title
    places = []
    for panel in range(panels):
        column, row = panel % beside, panel // beside
        upper = first + row * (space.caption(lines) + grid.height + space.under_title)
        box = Box(
            space.margin + column * (grid.width + space.gutter),
            even(upper + space.caption(lines)),
            grid.width,
            grid.height,
        )
        caption = Line(box.x, box.width, box.y - space.under_caption - lines.caption[1])
        places.append(PanelPlace(box, tuple(grid.cells(box.x, box.y, count)), caption))
    strip = Box(space.margin, places[-1].box.bottom + space.over_strip, inside, space.strip)
    legend = strip.bottom + space.under_strip + lines.legend[0]
    return Layout(*size, Line(space.margin, inside, title), tuple(places), strip, Line(space.margin, inside, legend))


def check_size(width: int, height: int | None) -> None:
    """Find a picture that nobody could read, or no machine write, as far as its size is known beforehand.

    Raises:
        SettingsError: it is too small or too large.
    """
    if width < SMALLEST_WIDTH:
        raise SettingsError(f"the picture is {width} pixels wide; its text needs at least {SMALLEST_WIDTH}")
    if height is not None and height < 1:
        raise SettingsError(f"the picture is {height} pixels high; there must be some")
    check_largest(width, height)


def check_largest(width: int, height: int | None) -> None:
    """Find a picture that no machine could write.

    Raises:
        SettingsError: it is too large.
    """
    if width > LARGEST[0] or (height or 1) > LARGEST[1] or width * (height or 1) > MOST_PIXELS:
        raise SettingsError(
            f"{_size(width, height)} pixels are too large a picture; it can have {LARGEST[0]} across, {LARGEST[1]} "
            f"down, and {MOST_PIXELS / 1e6:.1f} million in all"
        )


def _size(width: int, height: int | None) -> str:
    return f"a width of {width}" if height is None else f"{width}×{height}"
