"""Layout of several runs: each has a column with one large panel, and the others small below it.

From top to bottom: the title, the runs in one or more rows, the line of dots of each run, the legend. All columns are
equally wide, whatever the sizes of the runs' images.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from ..errors import SettingsError
from .layout import (
    LARGEST,
    Box,
    Grid,
    Layout,
    Line,
    LineHeights,
    PanelPlace,
    Size,
    Spacing,
    best_grid,
    check_largest,
    check_size,
    even,
)

_NARROWEST = 9.5
"""In em: a narrower column has no room for its text."""
_CAPTIONED = 7
"""In em: the same for a small panel."""
_TALLEST = 1.25
"""Maximum ratio of height to width of an image's room, and of a picture with a single column."""
_SMALL = 0.5
"""Width of the small panels' row in large ones, if there is only one of them."""


@dataclass(frozen=True)
class Images:
    """The images of one panel."""

    count: int
    size: tuple[int, int]
    """(height, width) of an image, in its own pixels."""
    columns: int | None = None
    """The number of images in a row; None for the best arrangement."""

    is_plot: bool = False

    @classmethod
    def of_plot(cls, *, wide: bool = False) -> Self:
        """A plot, which has no size of its own."""
        return cls(1, (1, 2) if wide else (1, 1), is_plot=True)


@dataclass(frozen=True)
class ColumnsLayout(Layout):
    """The position of everything; ``panels`` has those of the first run, then those of the second, and so on."""

    headers: tuple[Line, ...]
    """Over each run's column."""
    rows: tuple[Line, ...]
    """Over each row of runs, if rows have names; else empty."""
    feet: tuple[Line, ...]
    """Under each run, if there is text; else empty."""
    asides: tuple[Box, ...]
    """The room beside or below each run's small panel, if there is exactly one; else empty."""


def arrange_columns(
    runs: Sequence[Sequence[Images]],
    *,
    size: Size,
    lines: LineHeights,
    em: int,
    aside: tuple[int, int] | None = None,
    columns: int | None = None,
    named_rows: bool = False,
    footed: bool = False,
) -> ColumnsLayout:
    """Lay out a picture of several runs.

    Args:
        runs: the images of each panel, of which there are as many in every run.
        size: of the picture; without a height, it shrinks to fit the images.
        lines: the heights of its text.
        em: the size of the text, in pixels.
        aside: the (width, height) of the text beside a single small panel, in pixels; None for a caption over it.
        columns: the number of runs in a row; None for the one with the largest images.
        named_rows: whether there is a line of text over each row.
        footed: whether there is a line of text under each run.

    Raises:
        SettingsError: the picture is too small for the runs.
    """
    width, height = size
    check_size(width, height)
    wanted = range(1, len(runs) + 1) if columns is None else (columns,)

    def within(tallest: int) -> list[_Fit]:
        return [
            fit
            for across in wanted
            for beside, in_line in _ways(len(runs[0]), low=aside is not None and height is not None)
            for fit in _fits(runs, across, beside, in_line, size, tallest, lines, em, aside, named_rows, footed)
        ]

    fits = within(height or LARGEST[1])
    if height is None and columns == 1:  # Images as wide as the picture would make it a tower.
        fits = within(round(_TALLEST * width)) or fits
    if not fits:
        raise SettingsError(
            f"{len(runs)} runs do not fit into {width}{'' if height is None else f'×{height}'} pixels; make the "
            "picture larger, or show fewer runs or panels"
        )
    if height is None:
        # Wide rather than tall, as a page shows it.
        fits = [fit for fit in fits if fit.height <= width] or [min(fits, key=lambda fit: fit.height)]
    return max(fits, key=lambda fit: fit.merit).placed(None if height is None else (width, height))


@dataclass(frozen=True)
class _Fit:
    """A number of columns, and the largest images that fit into them."""

    runs: Sequence[Sequence[Images]]
    across: int
    beside: bool
    """Whether the other panels are to the right of the first one, rather than below it."""
    in_line: bool
    """Whether the text beside a single small panel is to the right of it too, rather than below it: for low rows."""
    em: int
    aside: tuple[int, int] | None
    lines: LineHeights
    named_rows: bool
    footed: bool
    space: Spacing
    large: tuple[Grid, ...]
    """The first panel of each run."""
    small: tuple[tuple[Grid, ...], ...]
    """The others of each run."""

    @property
    def rows(self) -> int:
        return math.ceil(len(self.runs) / self.across)

    @property
    def merit(self) -> tuple[float, ...]:
        """The larger the better: the images' area, then full rows."""
        shown = min(grid.cell_width * grid.cell_height for grid in self.large)
        return math.floor(math.log(shown, 1.15)), -self.rows * self.across

    @property
    def _small(self) -> list[Grid]:
        return [grid for of in self.small for grid in of]

    @property
    def column(self) -> int:
        """The width of a column."""
        large = max(grid.width for grid in self.large)
        small = max((grid.width for grid in self._small), default=0)
        narrowest = round(_NARROWEST * self.em)
        if self.aside is None:
            others = sum(max(grid.width for grid in of) + _small_gap(self.em) for of in zip(*self.small, strict=True))
            if self.beside:
                return even(max(narrowest, large + others))
            count = len(self.small[0])
            return even(max(narrowest, large, count * (self.captioned + _small_gap(self.em)) - _small_gap(self.em)))
        if self.in_line:
            return even(max(narrowest, large + self.apart + small + self.apart + self.aside[0]))
        if self.beside:
            return even(max(narrowest, large + self.apart + max(small, self.aside[0])))
        return even(max(narrowest, large, small + self.apart + self.aside[0]))

    @property
    def captioned(self) -> int:
        """The least width of a small panel with a caption."""
        return even(round(_CAPTIONED * self.em))

    @property
    def apart(self) -> int:
        """Between a single small panel and what is beside it."""
        return even(self.em // 2)

    @property
    def header(self) -> int:
        """From the top of a run's header to the top of the caption below it."""
        return even(sum(self.lines.title))

    @property
    def small_row(self) -> int:
        """The height of the row of small panels with its text, and the gap above it."""
        if not self._small:
            return 0
        tallest = max(grid.height for grid in self._small)
        if self.aside is None and self.beside:
            return max(even(tallest) - max(grid.height for grid in self.large), 0)
        if self.aside is None:
            return self.space.under_caption + self.space.caption(self.lines) + tallest
        if self.in_line:
            return max(even(max(tallest, self.aside[1])) - max(grid.height for grid in self.large), 0)
        if self.beside:
            return max(even(tallest + self.space.gap + self.aside[1]) - max(grid.height for grid in self.large), 0)
        return even(self.space.gap + max(tallest, self.aside[1]))

    @property
    def foot(self) -> int:
        """The height of the text under a run."""
        return even(self.space.gap + sum(self.lines.title)) if self.footed else 0

    @property
    def row_name(self) -> int:
        """From the top of a row's name to the top of the headers below it."""
        return even(sum(self.lines.title) + self.space.under_caption) if self.named_rows else 0

    @property
    def run(self) -> int:
        """The height of one run."""
        tallest = max(grid.height for grid in self.large)
        return self.header + self.space.caption(self.lines) + tallest + self.small_row + self.foot

    @property
    def between(self) -> int:
        """Between two rows of runs."""
        return even(self.em)

    @property
    def under_title(self) -> int:
        """Between the title and the first row of runs."""
        return even(round(0.9 * self.em))

    @property
    def strip(self) -> int:
        """The height of all lines of dots."""
        return even(round((1.35 if len(self.runs) <= 4 else 1.1) * self.em) * len(self.runs))

    @property
    def height(self) -> int:
        """Of the picture."""
        space = self.space
        text = sum(self.lines.title) + sum(self.lines.legend)
        gaps = space.top + self.under_title + space.over_strip + space.under_strip + space.bottom
        return even(text + gaps + self.rows * (self.row_name + self.run) + (self.rows - 1) * self.between + self.strip)

    @property
    def width(self) -> int:
        """Of the picture."""
        return self.across * self.column + (self.across - 1) * self.space.gutter + 2 * self.space.margin

    def placed(self, size: tuple[int, int] | None) -> ColumnsLayout:
        """The layout; with a size, what is left of it becomes wider gutters and margins."""
        width, height = size or (self.width, self.height)
        check_largest(width, height)
        space, gutters = self.space, self.across - 1
        spare, down = width - self.width, height - self.height
        wider = even(int(min(spare / (gutters + 2), 3 * self.em))) if gutters else 0
        wider -= 2 * (wider * gutters > spare)
        gutter = space.gutter + wider
        margin = space.margin + (spare - wider * gutters) // 4 * 2
        under_title = self.under_title + even(min(down // 6, self.em))
        over_strip = space.over_strip + even(min(down // 4, 2 * self.em))
        top = space.top + max(down - (under_title + over_strip - self.under_title - space.over_strip), 0) // 4 * 2
        title = top + self.lines.title[0]
        inside = self.across * self.column + gutters * gutter
        first = title + self.lines.title[1] + under_title
        headers, rows, feet, places, asides = [], [], [], [], []
        for number, images in enumerate(self.runs):
            row, column = divmod(number, self.across)
            x = margin + column * (self.column + gutter)
            y = first + row * (self.row_name + self.run + self.between) + self.row_name
            if self.named_rows and not column:
                rows.append(Line(x, inside, y - self.row_name + self.lines.title[0]))
            headers.append(Line(x, self.column, y + self.lines.title[0]))
            if self.footed:
                feet.append(Line(x, self.column, y + self.run - self.lines.title[1]))
            parts, aside = self._run_at(x, y + self.header, images, self.large[number], self.small[number])
            places += parts
            asides += aside
        bottom = first + self.rows * (self.row_name + self.run) + (self.rows - 1) * self.between
        strip = Box(margin, bottom + over_strip, inside, self.strip)
        legend = strip.bottom + space.under_strip + self.lines.legend[0]
        return ColumnsLayout(
            width,
            height,
            Line(margin, inside, title),
            tuple(places),
            strip,
            Line(margin, inside, legend),
            tuple(headers),
            tuple(rows),
            tuple(feet),
            tuple(asides),
        )

    def _run_at(
        self, x: int, y: int, images: Sequence[Images], large: Grid, small: Sequence[Grid]
    ) -> tuple[list[PanelPlace], list[Box]]:
        """The panels of a run, and the room beside its small one if text goes there."""
        tallest = max(grid.height for grid in self.large)
        places = [self._panel(x, even(y + self.space.caption(self.lines)), images[0].count, large, self.column)]
        below = places[0].box.y + tallest
        if self.aside is not None:
            (grid,) = small
            left = x + self.apart + max(grid.width for grid in self.large) if self.beside else x
            upper = places[0].box.y if self.beside else even(below + self.space.gap)
            box = Box(left, upper, grid.width, grid.height)
            places.append(PanelPlace(box, tuple(grid.cells(left, upper, images[1].count)), Line(left, 0, upper)))
            if self.in_line:
                aside = left + max(grid.width for grid in self._small) + self.apart
                return places, [Box(aside, upper, x + self.column - aside, self.aside[1])]
            if self.beside:
                return places, [Box(left, box.bottom + self.space.gap, x + self.column - left, self.aside[1])]
            aside = box.right + self.apart
            return places, [Box(aside, upper, x + self.column - aside, self.small_row - self.space.gap)]
        if self.beside:
            left = x + max(grid.width for grid in self.large) + _small_gap(self.em)
            for number, (shown, grid) in enumerate(zip(images[1:], small, strict=True)):
                places.append(self._panel(left, places[0].box.y, shown.count, grid, grid.width))
                left += max(of[number].width for of in self.small) + _small_gap(self.em)
            room = max(grid.width for grid in self.large)
            places[0] = replace(places[0], caption=replace(places[0].caption, width=room))
            return places, []
        if small:
            upper = even(below + self.space.under_caption + self.space.caption(self.lines))
            pitch = _pitch(self.column, len(small), self.em)
            places += [
                self._panel(x + number * pitch, upper, shown.count, grid, pitch - _small_gap(self.em))
                for number, (shown, grid) in enumerate(zip(images[1:], small, strict=True))
            ]
        return places, []

    def _panel(self, x: int, y: int, count: int, grid: Grid, width: int) -> PanelPlace:
        caption = Line(x, width, y - self.space.under_caption - self.lines.caption[1])
        return PanelPlace(Box(x, y, grid.width, grid.height), tuple(grid.cells(x, y, count)), caption)


def _ways(panels: int, *, low: bool) -> Sequence[tuple[bool, bool]]:
    """Where the other panels of a run may be: `_Fit.beside` and `_Fit.in_line`, which is for rows that may be ``low``,
    as the height of the picture is given.
    """
    below, beside, in_line = (False, False), (True, False), (True, True)
    if panels == 1:
        return (below,)
    return (below, beside, in_line) if low else (below, beside)


def _fits(
    runs: Sequence[Sequence[Images]],
    across: int,
    beside: bool,
    in_line: bool,
    size: Size,
    tallest: int,
    lines: LineHeights,
    em: int,
    aside: tuple[int, int] | None,
    named_rows: bool,
    footed: bool,
) -> list[_Fit]:
    """The largest images for a number of columns; none if there is no room."""
    width, height = size
    space = Spacing.of(em)
    most = (width - 2 * space.margin - (across - 1) * space.gutter) // across // 2 * 2
    for room in range(most, 2 * em, -max(2, most // 100 * 2)):
        try:
            large = tuple(_grid(run[0], room, space.gap, height is not None) for run in runs)
            widest = max(grid.width for grid in large)
            count = max(len(runs[0]) - 1, 1)
            if aside is not None:
                below = min(max(round(_SMALL * widest), aside[0] if beside and not in_line else 0), widest) // 2 * 2
            else:
                below = widest if beside else _pitch(widest, count, em) - _small_gap(em)
            plot = max(below, even(_CAPTIONED * em))
            small = tuple(
                tuple(
                    _grid(Images.of_plot() if beside else images, plot, space.gap, False)
                    if images.is_plot
                    else _grid(images, below, space.gap, False)
                    for images in run[1:]
                )
                for run in runs
            )
        except SettingsError:
            return []
        fit = _Fit(runs, across, beside, in_line, em, aside, lines, named_rows, footed, space, large, small)
        if fit.width <= width and fit.height <= tallest:
            return [fit]
    return []


def _pitch(room: int, small: int, em: int) -> int:
    """From one of several small panels to the next."""
    return (room + _small_gap(em)) // small // 2 * 2


def _small_gap(em: int) -> int:
    """Between two small panels, whose captions must not run together."""
    return even(round(0.6 * em))


@functools.lru_cache(maxsize=1024)
def _grid(images: Images, room: int, gap: int, smooth: bool) -> Grid:
    count, (high, wide) = images.count, images.size
    tall = round(room * min(max(high / wide, 1), _TALLEST)) if images.columns is None else room
    return best_grid(count, images.size, (room, tall), gap=gap, smooth=smooth, columns=images.columns)
