"""Layout: boxes in whole pixels, from the number and size of the images and the size of the picture.

From top to bottom: the title, a caption over each panel, the panels side by side, the schedule strip, its legend. The
panels get all the room that the text leaves, and their images are as large as fits. Panels may also form several rows,
each with captions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import SettingsError

TEXT_RANGE = (0.5, 3.0)
"""Minimum and maximum scale of the text."""
Size = tuple[int, int | None]
"""(width, height) in pixels; if the height is None, it follows the content, and the width is a maximum."""
README_WIDTH = 830
"""The width at which GitHub shows pictures in a README."""
README_SIZE: Size = (README_WIDTH, None)
LECTURE_SIZE = (1920, 1080)
"""Full HD."""
SHEET_SIZE: Size = (1950, None)
"""A contact sheet: 6.5 inches, the text width of a page with the usual margins."""
SHEET_DPI = 300
"""Pixels per inch of a contact sheet."""
DEFAULT_COLUMNS = 6
"""Timesteps on a contact sheet."""
SMALLEST_WIDTH = 240
LARGEST = (16000, 8700)
"""Maximum (width, height) in pixels that every format supports: WebP limits the width, AV1 the height."""
MOST_PIXELS = 2**25
"""Slightly more than 8K video: writing a film of this size takes gigabytes of memory."""
SMALLEST_TEXT = 12
"""1 em in pixels; smaller text is illegible."""

_NARROWEST_GAP = 2
"""Pixels between two images, enough for the hairline around each."""
_TALLEST_ROOM = (1.2, 1.4)
"""Maximum ratio of height to width of a panel's room if only a width is given; the second for tall images."""
_NOTICED = 1.15
"""Ratio of areas from which an image counts as larger."""
_WORTH_SMOOTHING = 1.25
"""Between factors 1 and 2, an image is enlarged, which needs smoothing, only from this factor."""


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
    """How far text reaches above and below its baseline, in pixels."""

    title: tuple[int, int]
    caption: tuple[int, int]
    legend: tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """How a panel's images are arranged."""

    columns: int
    rows: int
    cell_width: int
    """Of an image as shown, in pixels."""
    cell_height: int
    gap: int
    """Pixels between two cells; every cell begins on an even pixel."""

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

    def across(self, panels: int, space: Spacing) -> int:
        """The width of a picture with this number of panels."""
        return panels * self.width + (panels - 1) * space.gutter + 2 * space.margin + space.taken


@dataclass(frozen=True)
class PanelPlace:
    """The position of one panel."""

    box: Box
    """Around its cells."""
    cells: tuple[Box, ...]
    """One for each image, all of the same size."""
    caption: Line


@dataclass(frozen=True)
class Layout:
    """The position of everything."""

    width: int
    height: int
    title: Line
    panels: tuple[PanelPlace, ...]
    strip: Box
    legend: Line


def text_size(width: int, height: int | None) -> int:
    """1 em of the text, in pixels: 1/60 of the width, so 32 at Full HD, but more for small pictures: 16 at 830."""
    across = width if height is None else min(width, height * 16 / 9)
    legible = min(SMALLEST_TEXT + (across - 480) / 90, 16)
    return round(max(SMALLEST_TEXT, legible, across / 60))


def check_text(text: float) -> None:
    """Check the scale of the text: outside `TEXT_RANGE` it is illegible, or leaves no room for images.

    Raises:
        SettingsError: it is out of range.
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
    between: Sequence[int] = (),
) -> Layout:
    """Lay out a picture.

    Args:
        count: the number of images in each panel.
        image: (height, width) of an image, in its own pixels.
        width: of the picture, in pixels; a maximum if no height is given, as it then shrinks to fit the images.
        height: of the picture; None to fit its content.
        lines: the heights of its text.
        panels: the number of panels.
        beside: the number of panels in a row.
        em: the size of the text, in pixels; None to choose it from the width.
        columns: the number of images in a row of a panel; None for the best arrangement.
        between: pixels to keep free between every two panels, or if they are one above the other, left of each but the
            first; empty if none are needed.

    Raises:
        SettingsError: the picture is too small for its images.
    """
    check_size(width, height)
    em = em or text_size(width, height)
    beside = min(beside, panels)
    below = math.ceil(panels / beside)
    fits = [
        (best_grid(count, image, room, gap=space.gap, smooth=height is not None, columns=columns), space)
        for usual in (Spacing.of(em), Spacing.of(em).tightened(em))
        for space in [usual.with_room(between, beside)]
        if min(room := _room(image, width, height, beside, below, space, space.chrome(lines, below))) >= em
    ]
    if not fits:
        raise SettingsError(f"{_size(width, height)} pixels leave no room for images; make the picture larger")
    grid, space = max(fits, key=lambda fit: _rank(fit[0]))  # Of equals, the first, which is more spacious.
    if height is not None:
        room = _room(image, width, height, beside, below, space, space.chrome(lines, below))
        space = space.stretched(em, width - grid.across(beside, space), below * (room[1] - grid.height), beside)
    size = (grid.across(beside, space), even(space.chrome(lines, below) + below * grid.height))
    check_largest(*size)
    return _place(grid, count, panels, beside, space, lines, size if height is None else (width, height))


def how_large(layout: Layout) -> int:
    """How large a layout's images are, in steps that the eye notices."""
    cell = layout.panels[0].cells[0]
    return _noticed(cell.width, cell.height)


def _room(
    image: tuple[int, int], width: int, height: int | None, beside: int, below: int, space: Spacing, chrome: int
) -> tuple[int, int]:
    """The maximum (width, height) of a panel."""
    across = (width - 2 * space.margin - space.taken - (beside - 1) * space.gutter) // beside
    tallest = min(max(image[0] / image[1], _TALLEST_ROOM[0]), _TALLEST_ROOM[1])
    return across, round(across * tallest) if height is None else (height - chrome) // below


def _rank(grid: Grid) -> int:
    """How large a grid's images are, in steps that the eye notices; smaller gains are not worth any sacrifice."""
    return _noticed(grid.cell_width, grid.cell_height)


def _noticed(width: int, height: int) -> int:
    return math.floor(math.log(width * height, _NOTICED))


def best_grid(
    count: int, image: tuple[int, int], room: tuple[int, int], *, gap: int, smooth: bool, columns: int | None = None
) -> Grid:
    """The arrangement with the largest images; ties go to the fullest, squarest, widest, then airiest.

    Args:
        count: the number of images.
        image: (height, width) of an image, in its own pixels.
        room: (width, height) for all of them.
        gap: pixels between two images; less if that makes room for larger ones.
        smooth: whether images may be resampled to enlarge them by a factor between 1 and 2.
        columns: the number of images in a row; None to choose it.
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
    """The pixels for each of several cells, an even number."""
    return (room - (cells - 1) * gap) // cells // 2 * 2


def shown_size(image: tuple[int, int], cell: tuple[int, int], *, smooth: bool) -> tuple[int, int]:
    """The size at which an image is shown: (width, height) in the picture's pixels.

    It is a whole multiple of the image's own size, so that its pixels stay sharp squares, or smaller if it must be.
    Between factors 1 and 2 there is no whole factor: with ``smooth``, the image is resampled if that gains enough.

    Args:
        image: (height, width), in its own pixels.
        cell: (width, height) that it must fit into, in the picture's pixels.
        smooth: whether it may be resampled to a larger size.
    """
    height, width = image
    factor = min(cell[0] / width, cell[1] / height)
    if factor >= 2 or (1 <= factor < _WORTH_SMOOTHING) or (factor >= 1 and not smooth):
        return math.floor(factor) * width, math.floor(factor) * height
    # Even, as video needs, and not empty.
    return max(round(width * factor / 2) * 2, 2), max(round(height * factor / 2) * 2, 2)


def even(length: int) -> int:
    """The length rounded up to an even number, so that images do not share the subsampled colours of a video."""
    return length + length % 2


@dataclass(frozen=True)
class Spacing:
    """Distances between things, in pixels, all even."""

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
    """The height of the schedule."""
    under_strip: int
    indent: int = 0
    """Kept free at the left of the panels."""
    extra: tuple[int, ...] = ()
    """What each gutter has more, from left to right; empty if all are alike."""

    @classmethod
    def of(cls, em: int) -> Spacing:
        """The tightest spacing that looks good with text of this size."""

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

    def tightened(self, em: int) -> Spacing:
        """Less room beside and between the panels, for images that just miss their next whole factor."""
        return replace(self, margin=2 * round(0.25 * em), gutter=2 * round(0.35 * em))

    @property
    def taken(self) -> int:
        """The width of what is kept free besides margins and gutters."""
        return self.indent + sum(self.extra)

    def with_room(self, between: Sequence[int], beside: int) -> Spacing:
        """At least so much between two panels beside each other, or to the left of panels that are not."""
        if beside > 1:
            return replace(self, extra=tuple(even(max(room - self.gutter, 0)) for room in between))
        return replace(self, indent=even(max(between, default=0)))

    def chrome(self, lines: LineHeights, below: int) -> int:
        """The height of everything but the panels, where ``below`` is the number of rows of panels."""
        gaps = (self.top, self.under_title, self.over_strip, self.under_strip, self.bottom)
        captions = below * self.caption(lines) + (below - 1) * self.under_title
        return even(sum(gaps) + self.strip + sum(lines.title) + captions + sum(lines.legend))

    def caption(self, lines: LineHeights) -> int:
        """From the top of a caption to the images below it."""
        return even(sum(lines.caption) + self.under_caption)

    def stretched(self, em: int, across: int, down: int, beside: int) -> Spacing:
        """Use the room that the images leave: some for a taller schedule and wider gaps, the rest for the margins."""

        def share(part: float, most: float, room: int) -> int:
            return 2 * int(min(part * room, most * em) / 2)

        gutters = beside - 1
        gutter, strip = share(1 / 3 / gutters, 2, across) if gutters else 0, share(0.4, 3, down)
        title, over = share(0.12, 0.8, down), share(0.12, 0.8, down)
        rest = down - strip - title - over
        return replace(
            self,
            margin=self.margin + (across - gutters * gutter) // 4 * 2,
            gutter=self.gutter + gutter,
            strip=self.strip + strip,
            under_title=self.under_title + title,
            over_strip=self.over_strip + over,
            top=self.top + rest // 4 * 2,
        )


def _place(
    grid: Grid, count: int, panels: int, beside: int, space: Spacing, lines: LineHeights, size: tuple[int, int]
) -> Layout:
    inside = grid.across(beside, space) - 2 * space.margin
    title = space.top + lines.title[0]
    first = title + lines.title[1] + space.under_title
    places = []
    for panel in range(panels):
        column, row = panel % beside, panel // beside
        upper = first + row * (space.caption(lines) + grid.height + space.under_title)
        box = Box(
            space.margin + space.indent + column * (grid.width + space.gutter) + sum(space.extra[:column]),
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
    """Check that a picture is neither too small to read nor too large to write, as far as its size is known.

    Raises:
        SettingsError: it is too small or too large.
    """
    if width < SMALLEST_WIDTH:
        raise SettingsError(f"the picture is {width} pixels wide; its text needs at least {SMALLEST_WIDTH}")
    if height is not None and height < 1:
        raise SettingsError(f"the picture is {height} pixels high; it needs at least 1")
    check_largest(width, height)


def check_largest(width: int, height: int | None) -> None:
    """Check that a picture is not too large to write.

    Raises:
        SettingsError: it is too large.
    """
    if width > LARGEST[0] or (height or 1) > LARGEST[1] or width * (height or 1) > MOST_PIXELS:
        raise SettingsError(
            f"{_size(width, height)} pixels is too large for a picture; it can have {LARGEST[0]} across, {LARGEST[1]} "
            f"down, and {MOST_PIXELS / 1e6:.1f} million in total"
        )


def _size(width: int, height: int | None) -> str:
    return f"a width of {width}" if height is None else f"{width}×{height}"
