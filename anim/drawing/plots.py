"""Drawing plots: matplotlib draws what stands still once, and for each row what moves over a copy of that.

Lines are dimmed ahead of a cursor, as in the schedule strip. Labels have the colour of what they name. Text is the
picture's own (`diffanim.drawing.typeset`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..pixels import Pixels
from ..scenes.phrases import Maths, Phrase, Words
from ..scenes.plots import Axis, Line, Plot, Trail, Values, Weight
from .layout import SMALLEST_TEXT
from .lines import Placed, Sizes, blend, height, place, width
from .strip import DIMMED, mixed
from .themes import Colour, Theme

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

_TEXT = 0.85
"""The size of the text, in em of the picture's."""
_STROKES: dict[Weight, float] = {"main": 0.13, "single": 0.07, "behind": 0.09}
"""In em."""
_STRENGTHS: dict[Weight, float] = {"main": 1.0, "single": 0.75, "behind": 0.8}
"""How much of its colour a line has; the rest is the background's."""
_FILL = 0.16
"""How much of its line's colour an area has."""
_MOST_TICKS = 4
_DPI = 72
"""At which matplotlib's points are pixels."""


class DrawnPlot:
    """A plot at a size.

    Attributes:
        width: in pixels.
        height: in pixels.
    """

    def __init__(self, plot: Plot, width: int, height: int, theme: Theme, em: int) -> None:
        """Draw what stands still.

        Args:
            plot: what to draw.
            width: of its pictures, in pixels.
            height: of its pictures, in pixels.
            theme: its colours.
            em: the size of the picture's text, in pixels.
        """
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self._theme, self._em = theme, em
        self._plot, self._area = _fitted(plot, width, height, em)
        with matplotlib.rc_context():
            matplotlib.rcdefaults()  # The user's own style must not apply.
            # matplotlib rounds down, so a little is added.
            self._figure = Figure(((width + 0.01) / _DPI, (height + 0.01) / _DPI), dpi=_DPI)
            self._canvas = FigureCanvasAgg(self._figure)
            self._renderer: Any = self._canvas.get_renderer()
            self._buffer = np.asarray(self._canvas.buffer_rgba())
            self._background = self._drawn()
            self._lines = [(line, self._stroke(line)) for line in self._plot.lines if line.moves]
            self._fills = [(line, self._tint(line)) for line in self._plot.lines if line.moves and line.filled]
            self._trails = [(trail, self._stroke(trail), self._dot(trail)) for trail in self._plot.trails]
            self._link = self._pen(theme.quiet, max(em / 24, 1))

    def at(self, row: int) -> Pixels:
        """The picture at a row: uint8 [height, width, 3], a new array.

        Raises:
            IndexError: the run has no such row.
        """
        if not 0 <= row < self._plot.rows:
            raise IndexError(f"the plot has rows 0 to {self._plot.rows - 1}, not {row}")
        self._buffer[:] = self._background
        self._cursor(row)
        for line, area in self._fills:
            self._fill(area, *line.at(row))
        for line, stroke in self._lines:
            self._draw(stroke, *line.at(row))
        for pair in self._plot.links:
            ends = np.array([[trail.x[row], trail.y[row]] for trail in pair])
            self._draw(self._link, ends[:, 0], ends[:, 1])
        for trail, stroke, _ in self._trails:
            self._draw(stroke, trail.x[: row + 1], trail.y[: row + 1])
        for trail, _, dot in self._trails:
            if trail.dot:
                self._draw(dot, trail.x[row : row + 1], trail.y[row : row + 1])
        pixels = self._buffer[..., :3].copy()
        self._write(pixels, self._labels(row), row)
        return pixels

    def _drawn(self) -> Pixels:
        """Everything that stands still: uint8 [height, width, 4]."""
        self._buffer[:] = (*self._theme.background, 255)
        self._rules()
        for line in self._plot.lines:
            if not line.moves:
                if line.filled:
                    self._fill(self._tint(line), line.x, line.y)
                self._draw(self._stroke(line), line.x, line.y)
        for trail in self._plot.trails:
            if trail.ahead:
                self._draw(self._stroke(trail, DIMMED), trail.x, trail.y)
        pixels = self._buffer.copy()
        self._write(pixels[..., :3], self._area.texts)
        return pixels

    def _rules(self) -> None:
        """The axis below, its ticks, and a faint line across for each tick on the left."""
        area, fine = self._area, max(self._em // 24, 1)
        for y in area.rules:
            self._buffer[y : y + fine, area.left : area.right, :3] = self._theme.surface
        if self._plot.x.ticks != ():
            self._buffer[area.bottom : area.bottom + fine, area.left : area.right, :3] = self._theme.hairline
            for x in area.ticks:
                left = min(max(x - fine // 2, 0), self.width - fine)
                self._buffer[area.bottom : area.bottom + area.tick, left : left + fine, :3] = self._theme.hairline

    def _cursor(self, row: int) -> None:
        if self._plot.cursor is None:
            return
        x = self._area.across(self._plot.x, self._plot.cursor[row : row + 1])[0]
        fine = max(self._em // 16, 1)
        left = min(max(round(x) - fine // 2, self._area.left), self._area.right - fine)
        self._buffer[self._area.top : self._area.bottom, left : left + fine, :3] = self._theme.quiet

    def _labels(self, row: int) -> Iterator[Placed]:
        """The labels beside what they name."""
        area, sizes = self._area, _sizes(self._em)
        if self._plot.labels == "ends":
            yield from area.beside_ends(self._plot, row, sizes)
        for trail in self._plot.trails:
            if trail.label and np.isfinite([trail.x[row], trail.y[row]]).all():
                x = area.across(self._plot.x, trail.x[row : row + 1])[0]
                y = area.down(self._plot.y, trail.y[row : row + 1])[0]
                yield from area.beside_point(trail.label, round(x), round(y), self._radius, sizes)

    def _write(self, pixels: Pixels, texts: Iterable[Placed], row: int | None = None) -> None:
        for text in texts:
            blend(pixels, text.mask(row), text.x, text.baseline, self._theme.ink(text.piece.ink))

    @property
    def _radius(self) -> float:
        """Of a point that moves, in pixels."""
        return 0.22 * self._em + 0.5

    def _stroke(self, mark: Line | Trail, dimmed: float = 1.0) -> Line2D:
        colour = mixed(self._theme.ink(mark.ink), self._theme.background, _STRENGTHS[mark.weight] * dimmed)
        return self._pen(colour, max(_STROKES[mark.weight] * self._em, 1))

    def _dot(self, trail: Trail) -> Line2D:
        dot = self._pen(self._theme.ink(trail.ink), 0)
        size = self._radius * (2 if trail.weight == "main" else 1.5)
        dot.set(marker="o", markersize=size, markeredgewidth=0, linestyle="none", snap=False)
        return dot

    def _pen(self, colour: Colour, thickness: float) -> Line2D:
        from matplotlib.lines import Line2D
        from matplotlib.transforms import Bbox, IdentityTransform

        pen = Line2D([], [], color=_rgb(colour), linewidth=thickness, solid_joinstyle="round", solid_capstyle="round")
        pen.set_transform(IdentityTransform())
        pen.set_figure(self._figure)
        # Half of a stroke or a dot on the edge is outside of the area.
        spare, area = self._radius + 1, self._area
        bottom, top = self.height - area.bottom - spare, self.height - area.top + spare
        pen.set_clip_box(Bbox.from_extents(area.left - spare, bottom, area.right + spare, top))
        pen.set_snap(False)
        return pen

    def _tint(self, line: Line) -> Any:
        from matplotlib.patches import Polygon
        from matplotlib.transforms import Bbox, IdentityTransform

        area = self._area
        colour = (*_rgb(self._theme.ink(line.ink)), _FILL)
        tint = Polygon(np.zeros((1, 2)), closed=True, facecolor=colour, edgecolor="none")
        tint.set_transform(IdentityTransform())
        tint.set_figure(self._figure)
        tint.set_clip_box(Bbox.from_extents(area.left, self.height - area.bottom, area.right, self.height - area.top))
        return tint

    def _draw(self, pen: Line2D, x: Values, y: Values) -> None:
        pen.set_data(self._area.across(self._plot.x, x), self.height - self._area.down(self._plot.y, y))
        pen.draw(self._renderer)

    def _fill(self, tint: Any, x: Values, y: Values) -> None:
        x, y = self._area.across(self._plot.x, x), self.height - self._area.down(self._plot.y, y)
        whole = np.isfinite(x) & np.isfinite(y)
        if not whole.any():
            return
        x, y, base = x[whole], y[whole], self.height - self._area.bottom
        tint.set_xy(np.column_stack([[x[0], *x, x[-1]], [base, *y, base]]))
        tint.draw(self._renderer)


@dataclass(frozen=True)
class _Area:
    """The rectangle of a plot within its axes, in pixels from the top left, and the text around it."""

    left: int
    top: int
    right: int
    bottom: int
    tick: int = 0
    """The length of a tick."""
    texts: tuple[Placed, ...] = ()
    ticks: tuple[int, ...] = ()
    """Columns."""
    rules: tuple[int, ...] = ()
    """Rows."""

    def across(self, axis: Axis, values: Values) -> Values:
        """Columns of values; fractions of pixels matter, as lines are smooth."""
        return self.left + axis.fractions(values) * (self.right - self.left)

    def down(self, axis: Axis, values: Values) -> Values:
        """Rows of values."""
        return self.bottom - axis.fractions(values) * (self.bottom - self.top)

    def beside_ends(self, plot: Plot, row: int, sizes: Sizes) -> Iterator[Placed]:
        """The labels of lines, where these end on the right, pushed apart if they would overlap."""
        tall, named = round(1.3 * sizes.words), []
        for order, line in enumerate(plot.lines):
            x, y = line.at(row)
            seen = np.flatnonzero(np.isfinite(y) & (x >= plot.x.low) & (x <= plot.x.high))
            if line.label and seen.size:
                end = self.down(plot.y, y[seen[-1:]])[0]
                # The label of a line that left the plot below would name nothing.
                if end <= self.bottom + sizes.words:
                    # Where lines end together, the one in front is named first at every row.
                    named.append((end - order * tall / 4, end, line.label))
        named.sort(key=lambda label: label[0])
        places = _apart([end for _, end, _ in named], tall, self.top + tall / 2, self.bottom - tall / 4)
        for (_, _, label), middle in zip(named, places, strict=True):
            yield from place(label, sizes, self.right + round(0.4 * sizes.words), round(middle + 0.35 * sizes.words))

    def beside_point(self, label: Phrase, x: int, y: int, radius: float, sizes: Sizes) -> Iterator[Placed]:
        """A label above and to the right of a point, or to its left if there is no room."""
        wide, (above, below) = width(label, sizes), height([(label, sizes)])
        away = round(radius + 0.2 * sizes.words)
        left = x + away if x + away + wide <= self.right else x - away - wide
        baseline = min(max(y - away, self.top + above), self.bottom - below)
        yield from place(label, sizes, left, baseline)


def _apart(wanted: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Positions in order, close to those wanted, but at least a distance from each other and within limits."""
    places: list[float] = []
    for position in wanted:
        places.append(max(position, places[-1] + distance if places else low))
    limit = high
    for index in reversed(range(len(places))):
        places[index] = min(places[index], limit)
        limit = places[index] - distance
    return places


def _sizes(em: int) -> Sizes:
    size = max(_TEXT * em, min(em, SMALLEST_TEXT))
    return Sizes(size, 1.2 * size)


def _fitted(plot: Plot, wide: int, tall: int, em: int) -> tuple[Plot, _Area]:
    """The plot with the ticks and limits that suit its size, and where things are in it.

    From top to bottom: a row for what the upright axis measures and for the key; the area; the numbers on the axis;
    what that axis measures, in the same row as the numbers if the plot is low.
    """
    sizes = _sizes(em)
    row, low = round(1.35 * sizes.words), tall < 11 * sizes.words
    over = row if plot.y.labels or plot.labels == "key" else round(0.4 * sizes.words)
    numbered = plot.x.ticks != ()
    under = row * (numbered + bool(plot.x.labels and not (low and numbered))) + round(0.3 * sizes.words) * numbered
    named = [line.label for line in plot.lines if line.label] if plot.labels == "ends" else []
    beside = max((round(0.5 * sizes.words) + width(label, sizes) for label in named), default=0)
    spare = round(0.3 * em)
    top, bottom = over, tall - max(under, spare)
    y_ticks = ticks_of(plot.y, (bottom - top) / sizes.words / 2)
    left = max((width(text, sizes) for _, text in y_ticks), default=0)
    left = left + round(0.4 * sizes.words) if y_ticks else spare
    area = _Area(left, top, wide - max(beside, spare), bottom, round(0.25 * sizes.words))
    if plot.equal:
        plot = _squared(plot, area)
    x_ticks = ticks_of(plot.x, (area.right - area.left) / sizes.words / 2.5)
    columns = [round(float(area.across(plot.x, np.array([value]))[0])) for value, _ in x_ticks]
    rows = [round(float(area.down(plot.y, np.array([value]))[0])) for value, _ in y_ticks]
    line = bottom + round(0.2 * sizes.words) + round(0.95 * row)
    texts: list[Placed] = []
    taken = wide + 1
    for label in plot.x.labels:
        if width(label, sizes) <= (wide if not (low and numbered) else wide // 2):
            taken = wide - width(label, sizes)
            texts += place(label, sizes, taken, line + row * (numbered and not low) - (0 if numbered else row // 4))
            break
    limit = taken - round(0.5 * sizes.words) if low and numbered else wide
    for (_, text), x in zip(x_ticks, columns, strict=True):
        start = min(max(x - width(text, sizes) // 2, 0), wide - width(text, sizes))
        if start + width(text, sizes) <= limit:
            texts += place(text, sizes, start, line)
    for (_, text), y in zip(y_ticks, rows, strict=True):
        texts += place(text, sizes, left - round(0.4 * sizes.words) - width(text, sizes), y + round(0.36 * sizes.words))
    texts += _head(plot, wide, sizes)
    return plot, replace(area, texts=tuple(texts), ticks=tuple(columns), rules=tuple(rows))


def _head(plot: Plot, wide: int, sizes: Sizes) -> Iterator[Placed]:
    """On the left what the upright axis measures, on the right the key."""
    baseline, space = round(0.95 * sizes.words), round(0.7 * sizes.words)
    key = [line.label for line in plot.lines if line.label] if plot.labels == "key" else []
    used = sum(width(label, sizes) + space for label in key)
    x = wide - used + space
    for label in key:
        yield from place(label, sizes, x, baseline)
        x += width(label, sizes) + space
    for label in plot.y.labels:
        if width(label, sizes) <= wide - used:
            yield from place(label, sizes, 0, baseline)
            return


def _squared(plot: Plot, area: _Area) -> Plot:
    """The plot with wider limits of one axis, so that a unit has as many pixels on either."""
    wide, tall = area.right - area.left, area.bottom - area.top
    unit = max((plot.x.high - plot.x.low) / wide, (plot.y.high - plot.y.low) / tall)

    def grown(axis: Axis, pixels: int) -> Axis:
        middle = (axis.low + axis.high) / 2
        return replace(axis, low=middle - unit * pixels / 2, high=middle + unit * pixels / 2)

    return replace(plot, x=grown(plot.x, wide), y=grown(plot.y, tall))


def ticks_of(axis: Axis, room: float) -> list[tuple[float, Phrase]]:
    """A few round numbers along an axis, and how each is written; ``room`` is how many there is space for."""
    if axis.ticks is not None:
        return [(value, (Words(text),)) for value, text in axis.ticks]
    most = max(min(int(room), _MOST_TICKS), 2)
    return _decades(axis, most) if axis.log else _steps(axis, most)


def _steps(axis: Axis, most: int) -> list[tuple[float, Phrase]]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((axis.high - axis.low) / most))
    for step in (power, 2 * power, 5 * power, 10 * power):
        first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
        if last - first < most:
            break
    decimals = max(-math.floor(math.log10(step) + 1e-9), 0)
    texts = {n: f"{n * step:.{decimals}f}".replace("-", "−") if n else "0" for n in range(first, last + 1)}
    return [(n * step, (Words(text),)) for n, text in texts.items()]


def _decades(axis: Axis, most: int) -> list[tuple[float, Phrase]]:
    """Powers of ten, or some of them; where there are few, also three times each."""
    first, last = math.ceil(math.log10(axis.low) - 1e-9), math.floor(math.log10(axis.high) + 1e-9)
    stride = max(-(-(last - first + 1) // most), 1)
    powers = [power for power in range(first, last + 1) if power % stride == 0]
    plain = all(-1 <= power <= 3 for power in powers)
    values = [10.0**power for power in powers]
    if plain and 2 * len(values) <= most:
        values = sorted([*values, *(3 * value for value in (*values, values[0] / 10 if values else 1.0))])
    seen = [value for value in values if axis.low <= value * (1 + 1e-9) and value <= axis.high * (1 + 1e-9)]
    return [(value, (Words(f"{value:g}"),) if plain or value == 1 else (_power(value),)) for value in seen]


def _power(value: float) -> Maths:
    return Maths(f"10^{{{round(math.log10(value))}}}", "quiet")


def _rgb(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = (level / 255 for level in colour)
    return red, green, blue
