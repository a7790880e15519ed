"""Drawing plots: matplotlib draws what stands still once, and for each row what moves over a copy of that.

Lines are dimmed ahead of a cursor, as in the schedule strip. Labels have the colour of what they name. Text is set as
in the rest of the picture (`diffanim.drawing.typeset`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..pixels import Pixels
from ..scenes.phrases import Phrase
from ..scenes.plots import Line, Plot, Trail, Values, Weight
from .axes import apart, area_of, texts_around
from .lines import Placed, Sizes, blend, height, place, width
from .strip import DIMMED, mixed
from .themes import Colour, Theme

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.lines import Line2D
    from matplotlib.patches import Polygon

_Artist = TypeVar("_Artist", bound="Artist")
_STROKES: dict[Weight, float] = {"main": 0.13, "single": 0.07, "behind": 0.09}
"""In em."""
_STRENGTHS: dict[Weight, float] = {"main": 1.0, "single": 0.75, "behind": 0.8}
"""How much of its colour a line has; the rest is the background's."""
_TINT = 0.16
"""How much of its line's colour an area has."""
_TURNS = tuple(np.exp(1j * np.radians(degrees)) for degrees in (0, 30, -30, 60, -60, 90, -90))
"""From the best place for a label beside a point to others, if it is taken."""
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
        self._area = area_of(plot, width, height, em)
        self._plot = self._area.plot
        with matplotlib.rc_context():
            matplotlib.rcdefaults()  # The user's own style must not apply.
            # matplotlib rounds down, so a little is added.
            self._figure = Figure(((width + 0.01) / _DPI, (height + 0.01) / _DPI), dpi=_DPI)
            canvas = FigureCanvasAgg(self._figure)
            self._renderer: Any = canvas.get_renderer()
            self._buffer = np.asarray(canvas.buffer_rgba())
            self._background = self._still()
            self._lines = [(line, self._tint(line), self._stroke(line)) for line in self._plot.lines if line.moves]
            self._trails = [self._together(alike) for alike in _alike(self._plot.trails)]
            self._link = self._pen(theme.quiet, max(em / 24, 1))
        pairs = self._plot.links
        self._ends = [np.array([[getattr(end, axis) for end in pair] for pair in pairs]) for axis in "xy"]

    def at(self, row: int) -> Pixels:
        """The picture at a row: uint8 [height, width, 3], a new array.

        Raises:
            IndexError: the run has no such row.
        """
        if not 0 <= row < self._plot.rows:
            raise IndexError(f"the plot has rows 0 to {self._plot.rows - 1}, not {row}")
        self._buffer[:] = self._background
        self._cursor(row)
        for line, tint, stroke in self._lines:
            self._draw(line, tint, stroke, row)
        if self._plot.links:
            self._trace(self._link, self._ends[0][..., row], self._ends[1][..., row])
        for trails in self._trails:
            self._trace(trails.stroke, trails.x[:, : row + 1], trails.y[:, : row + 1])
        for trails in self._trails:
            if trails.dot is not None:
                self._trace(trails.dot, trails.x[:, row], trails.y[:, row])
        pixels = np.empty((self.height, self.width, 3), np.uint8)
        for colour in range(3):  # Faster than all three at once.
            pixels[..., colour] = self._buffer[..., colour]
        self._write(pixels, [*self._beside_ends(row), *self._beside_points(row)], row)
        return pixels

    def _still(self) -> Pixels:
        """Everything that stands still: uint8 [height, width, 4]."""
        self._buffer[:] = (*self._theme.background, 255)
        self._rules()
        for line in self._plot.lines:
            if not line.moves:
                self._draw(line, self._tint(line), self._stroke(line), 0)
        for trail in self._plot.trails:
            if trail.ahead:
                self._trace(self._stroke(trail, DIMMED), trail.x, trail.y)
        pixels = self._buffer.copy()
        self._write(pixels[..., :3], [*texts_around(self._area, self.width, self.height), *self._at_starts()])
        return pixels

    def _rules(self) -> None:
        """The axis below, its ticks, and a faint line across for each number on the left."""
        area, fine = self._area, max(self._em // 24, 1)
        for y, _ in area.up_ticks:
            self._buffer[y : y + fine, area.left : area.right, :3] = self._theme.surface
        if area.across_ticks:
            self._buffer[area.bottom : area.bottom + fine, area.left : area.right, :3] = self._theme.hairline
        for x, _ in area.across_ticks:
            left = min(max(x - fine // 2, 0), self.width - fine)
            end = area.bottom + round(0.25 * area.sizes.words)
            self._buffer[area.bottom : end, left : left + fine, :3] = self._theme.hairline

    def _cursor(self, row: int) -> None:
        if self._plot.cursor is None:
            return
        area, fine = self._area, max(self._em // 16, 1)
        x = round(float(area.columns(self._plot.cursor[row])))
        left = min(max(x - fine // 2, area.left), area.right - fine)
        self._buffer[area.top : area.bottom, left : left + fine, :3] = self._theme.quiet

    def _beside_ends(self, row: int) -> Iterator[Placed]:
        """The labels of lines where these end on the right, pushed apart if they would overlap."""
        area, em = self._area, self._area.sizes.words
        tall, named = round(1.3 * em), []
        for order, line in enumerate(self._plot.lines):
            x, y = line.at(row)
            there = np.isfinite(y) & (x >= self._plot.x.low) & (x <= self._plot.x.high)
            if not line.label or not (there & (y >= self._plot.y.low) & (y <= self._plot.y.high)).any():
                continue  # A label would name nothing.
            end = float(area.rows(y[there][-1]))
            # Where lines end together, the one in front is named first at every row.
            named.append((end - order * tall / 4, end, line.label))
        named.sort(key=lambda label: label[0])
        middles = apart([end for _, end, _ in named], tall, area.top + tall / 2, area.bottom - tall / 4)
        for (_, _, label), middle in zip(named, middles, strict=True):
            yield from place(label, area.sizes, area.right + round(0.4 * em), round(middle + 0.35 * em))

    def _beside_points(self, row: int) -> Iterator[Placed]:
        """The labels of points that move, to their right."""
        area = self._area
        away = round(self._radius + 0.2 * area.sizes.words)
        for trail in self._plot.trails:
            if not trail.label:
                continue
            x, y = round(float(area.columns(trail.x[row]))), round(float(area.rows(trail.y[row])))
            above, below = height([(trail.label, area.sizes)])
            baseline = y + away // 2 + above if trail.below else y - away // 2
            yield from place(
                trail.label, area.sizes, x + away, min(max(baseline, area.top + above), self.height - below)
            )

    def _at_starts(self) -> Iterator[Placed]:
        """The labels of where trails begin, on the side that is further from the middle of all of them."""
        named = [trail for trail in self._plot.trails if trail.start]
        if not named:
            return
        area, em = self._area, self._area.sizes.words
        starts = np.array([(area.columns(trail.x[0]), area.rows(trail.y[0])) for trail in named])
        middle = np.array([(area.columns(trail.x).mean(), area.rows(trail.y).mean()) for trail in named]).mean(0)
        taken: list[complex] = []
        for trail, start in zip(named, starts, strict=True):
            outward = complex(*(start - middle))
            outward *= 0.75 * em / max(abs(outward), 1e-6)
            around = [complex(*start) + outward * turn for turn in _TURNS]
            free = (spot for spot in around if all(abs(spot - other) > 0.9 * em for other in taken))
            taken.append(next(free, around[0]))
            yield from _centred(trail.start, taken[-1].real, taken[-1].imag, area.sizes)

    def _write(self, pixels: Pixels, texts: Iterable[Placed], row: int | None = None) -> None:
        for text in texts:
            blend(pixels, text.mask(row), text.x, text.baseline, self._theme.ink(text.piece.ink))

    @property
    def _radius(self) -> float:
        """Of a point that moves, in pixels."""
        return 0.22 * self._em + 0.5

    def _stroke(self, mark: Line | Trail, strength: float = 1.0) -> Line2D:
        colour = mixed(self._theme.ink(mark.ink), self._theme.background, _STRENGTHS[mark.weight] * strength)
        return self._pen(colour, max(_STROKES[mark.weight] * self._em, 1))

    def _together(self, trails: Sequence[Trail]) -> _Trails:
        """Trails that look the same."""
        x, y = (np.stack([getattr(trail, axis) for trail in trails]) for axis in "xy")
        return _Trails(x, y, self._stroke(trails[0]), self._dot(trails[0]) if trails[0].dot else None)

    def _dot(self, trail: Trail) -> Line2D:
        size = self._radius * (2 if trail.weight == "main" else 1.5)
        dot = self._within(self._pen(self._theme.ink(trail.ink), 0), size / 2 + 1)
        dot.set(marker="o", markersize=size, markeredgewidth=0, linestyle="none", snap=False)
        return dot

    def _pen(self, colour: Colour, thickness: float) -> Line2D:
        from matplotlib.lines import Line2D

        pen = Line2D([], [], color=_rgb(colour), linewidth=thickness, solid_joinstyle="round", solid_capstyle="round")
        return self._within(pen, thickness / 2 + 0.5)  # Half of a stroke on the edge is outside of the area.

    def _tint(self, line: Line) -> Polygon | None:
        from matplotlib.patches import Polygon

        if not line.filled:
            return None
        colour = (*_rgb(self._theme.ink(line.ink)), _TINT)
        return self._within(Polygon(np.zeros((1, 2)), facecolor=colour, edgecolor="none"), 0)

    def _within(self, artist: _Artist, spare: float) -> _Artist:
        """An artist that draws in pixels, clipped to the area and some pixels around it."""
        from matplotlib.transforms import Bbox, IdentityTransform

        area = self._area
        bottom, top = self.height - area.bottom - spare, self.height - area.top + spare
        artist.set_figure(self._figure)
        artist.set_transform(IdentityTransform())
        artist.set_clip_box(Bbox.from_extents(area.left - spare, bottom, area.right + spare, top))
        artist.set_snap(False)
        return artist

    def _draw(self, line: Line, tint: Polygon | None, stroke: Line2D, row: int) -> None:
        x, y = line.at(row)
        if tint is not None:
            base = self.height - self._area.bottom
            corners = np.column_stack([self._area.columns(x), self.height - self._area.rows(y)])
            tint.set_xy(np.vstack([(corners[0, 0], base), corners, (corners[-1, 0], base)]))
            tint.draw(self._renderer)
        self._trace(stroke, x, y)

    def _trace(self, pen: Line2D, x: Values, y: Values) -> None:
        """Draw a line, lines [lines, points] or points; matplotlib counts rows from the bottom."""
        if x.ndim > 1:  # One line with gaps is drawn faster than many.
            gaps = np.full((len(x), 1), np.nan)
            x, y = (np.concatenate([values, gaps], 1).ravel() for values in (x, y))
        pen.set_data(self._area.columns(x), self.height - self._area.rows(y))
        pen.draw(self._renderer)


@dataclass(frozen=True, eq=False)
class _Trails:
    """Trails that are drawn together."""

    x: Values
    """[trails, rows]"""
    y: Values
    stroke: Line2D
    dot: Line2D | None


def _alike(trails: Iterable[Trail]) -> Iterable[list[Trail]]:
    """Trails in groups that look the same, in the order in which each look comes first."""
    groups: dict[Hashable, list[Trail]] = {}
    for trail in trails:
        groups.setdefault((trail.ink, trail.weight, trail.dot), []).append(trail)
    return groups.values()


def _centred(label: Phrase, x: float, y: float, sizes: Sizes) -> Iterator[Placed]:
    above, below = height([(label, sizes)])
    return place(label, sizes, round(x - width(label, sizes) / 2), round(y + (above - below) / 2))


def _rgb(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = (level / 255 for level in colour)
    return red, green, blue
