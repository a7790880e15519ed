"""Drawing points in the plane: what stands still once, then for each row density, arrows, trails and particles.

All is drawn by `diffanim.drawing.strokes`, at fractions of pixels.
"""

from __future__ import annotations

import numpy as np

from ..pixels import Pixels
from ..scenes.plane import Density, Field, Followed, Particles, Plane
from ..scenes.plots import Values
from .axes import sizes_in
from .lines import blend, place, width
from .resizing import resized
from .strip import mixed
from .strokes import Ink, Strokes, discs
from .themes import Colour, Theme

MOST_COLUMNS = (24, 16)
"""Of a grid of arrows, and of one with several at each place."""
_CELL = (1.1, 1.7)
"""The narrowest cell of such grids, in em."""
ARROW = 0.86
"""The length of the longest arrow, in cells."""
_SLOW = 0.25
"""The part of the usual speed below which an arrow of a direction is shorter than others."""
DIM = {"data": 0.3, "field": 0.5, "trail": 0.75, "path": 0.55}
"""How much of its colour something in the background has."""
MANY = 600
"""More particles than this are drawn smaller."""
_DENSITY_CELL = 0.2
"""The side of a cell of the density, in em; the picture between their middles is interpolated."""
MIDDLE_SHADE = 0.6
"""The strength of density that has the colour of noise; none has that of the background, and 1 the strongest ink."""


class DrawnPlane:
    """A plane at a size.

    Attributes:
        width: in pixels.
        height: in pixels.
    """

    def __init__(self, plane: Plane, width: int, height: int, theme: Theme, em: int) -> None:
        """Draw what stands still.

        Args:
            plane: what to draw.
            width: of its pictures, in pixels.
            height: of its pictures, in pixels.
            theme: its colours.
            em: the size of the picture's text, in pixels.
        """
        self.width, self.height = width, height
        self._plane, self._theme, self._em = plane, theme, em
        self._unit = min(width, height) / (2 * plane.reach)
        self._ink = Ink(height, width)
        count = 0 if plane.particles is None else plane.particles.places.shape[1]
        self._radius = max(min(0.12 * em, height / 160) * min(1.0, (MANY / max(count, 1)) ** 0.5), 1.2)
        self._thin = max(0.035 * em, 0.55)
        """Half the width of a line."""
        self._grid = self._places_of_arrows()
        self._background = self._still()
        self._paths: tuple[int, Pixels] | None = None
        """The row up to which whole paths are drawn, and the picture with them: the next row adds little."""

    def at(self, row: int) -> Pixels:
        """The picture at a row: uint8 [height, width, 3], a new array.

        Raises:
            IndexError: the run has no such row.
        """
        plane = self._plane
        if not 0 <= row < plane.rows:
            raise IndexError(f"the plane has rows 0 to {plane.rows - 1}, not {row}")
        picture = self._background.copy() if plane.density is None else self._dense(row)
        if plane.field is not None:
            self._arrows(picture, plane.field, row)
        if plane.particles is not None:
            picture = self._with_trails(picture, plane.particles, row)
            spots = discs(self.positions(plane.particles.places[row]), self._radius)
            self._ink.draw(picture, spots, self._theme.ink(plane.particles.ink))
        if plane.followed is not None:
            self._follow(picture, plane.followed, row)
        self._write_key(picture)
        self._frame(picture)
        return picture

    def positions(self, places: Values) -> Values:
        """Places [n, 2] in pixels from the top left of the picture; the middle of the first pixel is at 0.5."""
        middle = np.array([self.width / 2, self.height / 2])
        return np.asarray(middle + places * np.array([self._unit, -self._unit]))

    def outside(self, places: Values) -> int:
        """How many of places [n, 2] are outside of the picture."""
        spots = self.positions(places)
        return int(((spots < 0) | (spots > (self.width, self.height))).any(1).sum())

    def _still(self) -> Pixels:
        picture = np.empty((self.height, self.width, 3), np.uint8)
        picture[:] = self._theme.background
        if self._plane.data is not None:
            spots = discs(self.positions(self._plane.data), max(self._radius / 2.5, 0.8))
            self._ink.draw(picture, spots, self._dimmed(self._theme.signal, "data"))
        return picture

    def _frame(self, picture: Pixels) -> None:
        line = max(self._em // 24, 1)
        for edge in (picture[:line], picture[-line:], picture[:, :line], picture[:, -line:]):
            edge[:] = self._theme.hairline

    def _dense(self, row: int) -> Pixels:
        """The density, from the background where there is none, over the colour of noise, to the strongest ink."""
        assert self._plane.density is not None
        cell = max(_DENSITY_CELL * self._em, 2)
        columns, rows = round(self.width / cell), round(self.height / cell)
        across = (np.linspace(0, self.width, columns + 1) - self.width / 2) / self._unit
        down = (np.linspace(0, self.height, rows + 1) - self.height / 2) / self._unit
        strength = strength_of(self._plane.density, across, down, row)[::-1]
        steps = np.array([self._theme.background, self._theme.noise, self._theme.strong], float)
        colours = np.stack([np.interp(strength, (0, MIDDLE_SHADE, 1), steps[:, channel]) for channel in range(3)], -1)
        return resized(np.rint(colours).astype(np.uint8), self.width, self.height)

    def _places_of_arrows(self) -> Values:
        """The middles of the cells of a grid that fills the picture, [n, 2], in the coordinates of the run."""
        several = self._plane.field is not None and len(self._plane.field.inks) > 1
        columns = max(min(MOST_COLUMNS[several], int(self.width / (_CELL[several] * self._em))), 4)
        cell = self.width / columns
        rows = max(round(self.height / cell), 3)
        x, y = (np.arange(columns) + 0.5) * cell, (np.arange(rows) + 0.5) * self.height / rows
        spots = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        self._cell = min(cell, self.height / rows)
        middle = np.array([self.width / 2, self.height / 2])
        return np.asarray((spots - middle) / np.array([self._unit, -self._unit]))

    def _arrows(self, picture: Pixels, field: Field, row: int) -> None:
        arrows = arrows_of(field, self._grid, row)
        if arrows is None:
            return
        several = len(field.inks) > 1
        for each, name in zip(arrows, field.inks, strict=True):
            reach = each * self._cell * ARROW * (1, -1)
            middles = self.positions(self._grid)
            starts = middles if several else middles - reach / 2
            colour = self._theme.ink(name)
            colour = colour if several else self._dimmed(colour, "field")
            self._draw_arrows(picture, starts, reach, colour)

    def _draw_arrows(self, picture: Pixels, starts: Values, reach: Values, colour: Colour) -> None:
        lengths = np.hypot(*reach.T)[:, None]
        head = np.minimum(0.38 * lengths, 0.3 * self._cell)
        heads = starts + reach * (1 - head / np.maximum(lengths, 1e-9))
        self._ink.draw(picture, self._strokes(starts, heads, (self._thin, self._thin)), colour)
        wide = min(max(2.6 * self._thin, 1.7), 0.14 * self._cell)
        long_enough = lengths[:, 0] > 1.0
        tips = self._strokes(heads[long_enough], (starts + reach)[long_enough], (wide, 0.0), flat=True)
        self._ink.draw(picture, tips, colour)

    def _with_trails(self, picture: Pixels, particles: Particles, row: int) -> Pixels:
        if not particles.trail or not row:
            return picture
        if particles.trail >= self._plane.rows - 1 and not particles.fading:
            return self._with_paths(particles, row)
        first = max(row - particles.trail, 0)
        starts, ends = particles.places[first:row], particles.places[first + 1 : row + 1]
        fading = np.linspace(0, 1, particles.trail + 1)[1:][-(row - first) :]
        strength = np.repeat(fading, starts.shape[1])
        strokes = self._between(starts.reshape(-1, 2), ends.reshape(-1, 2), strength)
        self._ink.draw(picture, strokes, self._dimmed(self._theme.ink(particles.ink), "trail"))
        return picture

    def _with_paths(self, particles: Particles, row: int) -> Pixels:
        """The picture with all paths so far, which is kept, as the next row only adds to them."""
        done, picture = self._paths or (0, self._background.copy())
        if done > row:
            done, picture = 0, self._background.copy()
        colour = self._dimmed(self._theme.ink(particles.ink), "path")
        for next_ in range(done, row):
            starts, ends = (particles.places[place_][: particles.lines] for place_ in (next_, next_ + 1))
            strokes = self._between(starts, ends)
            self._ink.draw(picture, strokes, colour)
        self._paths = row, picture
        return picture.copy()

    def _follow(self, picture: Pixels, followed: Followed, row: int) -> None:
        strong, colour = self._theme.strong, self._theme.ink(followed.ink)
        path, thin = followed.path[: row + 1], 1.5 * self._thin
        spots = self.positions(path)
        self._ink.draw(picture, self._strokes(spots[:-1], spots[1:], (thin, thin)), strong)
        radius = max(2.2 * self._radius, 3.0)
        if followed.from_ is not None:
            at, to = self.positions(followed.from_[row : row + 1]), self.positions(path[-1:])
            link = self._strokes(at, to, (self._thin, self._thin))
            self._ink.draw(picture, link, self._theme.quiet)
            self._ring(picture, at, radius, self._theme.background, self._theme.ink(followed.from_ink))
        self._ring(picture, self.positions(path[-1:]), radius, strong, colour)

    def _ring(self, picture: Pixels, at: Values, radius: float, inside: Colour, around: Colour) -> None:
        self._ink.draw(picture, discs(at, radius + 0.5), around)
        self._ink.draw(picture, discs(at, 0.6 * radius), inside)

    def _between(self, starts: Values, ends: Values, opacity: Values | float = 1.0) -> Strokes:
        return self._strokes(self.positions(starts), self.positions(ends), (self._thin, self._thin), opacity=opacity)

    def _strokes(
        self,
        starts: Values,
        ends: Values,
        radii: tuple[float, float],
        *,
        opacity: Values | float = 1.0,
        flat: bool = False,
    ) -> Strokes:
        return Strokes(starts.astype(np.float32), ends.astype(np.float32), radii, opacity, flat)

    def _write_key(self, picture: Pixels) -> None:
        sizes = sizes_in(self._em)
        x, baseline = round(0.5 * sizes.words), self.height - round(0.6 * sizes.words)
        space = round(0.8 * sizes.words)
        widths = [width(phrase, sizes) + space for phrase in self._plane.key]
        if not widths or sum(widths) > self.width - x:
            return
        above = baseline - round(1.2 * sizes.words)
        picture[above:, : x + sum(widths)] = self._theme.background
        for phrase, needed in zip(self._plane.key, widths, strict=True):
            for text in place(phrase, sizes, x, baseline):
                blend(picture, text.mask(), text.x, text.baseline, self._theme.ink(text.piece.ink))
            x += needed

    def _dimmed(self, colour: Colour, what: str) -> Colour:
        return mixed(colour, self._theme.background, DIM[what])


def arrows_of(field: Field, places: Values, row: int) -> Values | None:
    """Arrows at places [n, 2] for each ink: [k, n, 2], the longest of length 1; None if there are none at this row."""
    vectors = field.vectors(places, row)
    if vectors is None:
        return None
    sizes = np.hypot(vectors[..., 0], vectors[..., 1]).max(0)
    usual = float(sizes.max()) if field.measured else _SLOW * float(np.median(sizes))
    # All arrows at a place are shortened alike, so that they still add up.
    shortening = np.minimum(sizes / max(usual, 1e-12), 1) / np.maximum(sizes, 1e-12)
    return np.asarray(vectors * shortening[:, None])


def strength_of(density: Density, across: Values, down: Values, row: int) -> Values:
    """The root of a density in the cells between edges [w + 1] and [h + 1], 1 at its highest: [h, w]."""
    found = density(across, down, row)
    return np.asarray(np.sqrt(found / max(found.max(), 1e-30)))
