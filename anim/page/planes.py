"""Points in the plane as numbers, from which the script draws them as sharp as the screen is.

The places of all particles are stored as they were recorded, in float32, once for all panels that show them. Arrows are
stored for each moment as parts of the longest one, and a density as a picture in grey, to which the script gives the
colours of the theme.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..drawing.plane import ARROW, DIM, MANY, MIDDLE_SHADE, MOST_COLUMNS, DrawnPlane, arrows_of, strength_of
from ..drawing.themes import theme_named
from ..escaping import as_words
from ..pixels import Pixels
from ..scenes.plane import Field, Plane
from ..scenes.plots import Values
from ..scenes.scene import Part
from ..scenes.views import PLANE_SIZE, PointsView
from ..timeline.shots import Shot
from .stills import LONGEST, Still, webp

LOOKS: Mapping[str, Any] = {"dim": DIM, "many": MANY, "arrow": ARROW, "middle": MIDDLE_SHADE, "longest": LONGEST}
"""What the script draws as films do."""
_CELLS = 5
"""Of the density, on a side of a square in which there is an arrow at most."""
_DRAWN = 20
"""Pixels on a side of such a square where there is no script."""
_DIGITS = 4
"""Of the largest coordinates, where they are read."""


def still_of(plane: Plane, row: int) -> Still:
    """What a panel shows at a row besides its particles: its density and its arrows."""
    density = b"" if plane.density is None else webp(_density(plane, row))
    return Still(density, arrows=b"" if plane.field is None else _arrows(plane, plane.field, row))


def drawn(plane: Plane, row: int, theme: str) -> Pixels:
    """The picture at a row, for those without scripts: uint8 [H, W, 3]."""
    height, width = (_DRAWN * side for side in PLANE_SIZE)
    return DrawnPlane(plane, width, height, theme_named(theme), _DRAWN).at(row)


def _arrows(plane: Plane, field: Field, row: int) -> bytes:
    """For each ink and place, x and y as int8; all 0 where nothing is sent anywhere."""
    places = _places(plane, field)
    arrows = arrows_of(field, places, row)
    if arrows is None:
        return bytes(len(field.inks) * places.size)
    return np.rint(LONGEST * arrows).astype(np.int8).tobytes()


def _density(plane: Plane, row: int) -> Pixels:
    """Its root, 255 at its highest."""
    assert plane.density is not None
    height, width = PLANE_SIZE
    across, down = (
        np.linspace(-1, 1, _CELLS * side + 1) * plane.reach * side / min(PLANE_SIZE) for side in (width, height)
    )
    strength = strength_of(plane.density, across, down, row)[::-1]
    return np.rint(255 * strength).astype(np.uint8)[..., None].repeat(3, axis=-1)


def _grid(field: Field) -> tuple[int, int]:
    """The columns and rows of a grid of arrows: odd numbers, so that small panels can leave out every second one."""
    height, width = PLANE_SIZE
    columns = MOST_COLUMNS[len(field.inks) > 1] + 1
    return columns, 2 * round((columns * height / width - 1) / 2) + 1


def _places(plane: Plane, field: Field) -> Values:
    """The middles of the grid's cells, row by row from the top left: [n, 2]."""
    sides = zip(_grid(field), (PLANE_SIZE[1], -PLANE_SIZE[0]), strict=True)
    x, y = ((2 * (np.arange(count) + 0.5) / count - 1) * plane.reach * side / min(PLANE_SIZE) for count, side in sides)
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)


class Tracks:
    """The places that the panels of a page show, each array once, in a script for each row.

    Attributes:
        rows: for each run, those that the page has, in order.
        moving: the number of arrays of particles, before those that stand still.
    """

    def __init__(
        self, parts: Sequence[Part], planes: Mapping[int, Plane], shots: Sequence[Shot], *, whole: bool
    ) -> None:
        """Find what is shared.

        Args:
            parts: all of a scene.
            planes: those that are points, by their index.
            shots: a moment for each.
            whole: whether to have all rows up to the last one shown; else only those shown, between which lines are
                straight.
        """
        self._parts, self._planes, self._shots = parts, planes, shots
        self._shared: list[tuple[int, Values]] = []
        """The index of the run, and [rows, n, 2]; of what stands still, one row."""
        shown = [sorted({*rows}) for rows in zip(*(shot.rows for shot in shots), strict=True)]
        self.rows = [[*range(rows[-1] + 1)] if whole else rows for rows in shown]
        for place, plane in planes.items():
            for places in _moving(plane):
                if self._number(places, parts[place].run) is None:
                    self._shared.append((parts[place].run, places))
        self.moving = len(self._shared)
        for place, plane in planes.items():
            if plane.data is not None and self._number(plane.data[None]) is None:
                self._shared.append((parts[place].run, plane.data[None]))

    def _number(self, places: Values, run: int | None = None) -> int | None:
        """The number of an array, of this run if one is given."""
        found = (
            number for number, (of, known) in enumerate(self._shared) if run in (None, of) and _same(known, places)
        )
        return next(found, None)

    @property
    def row_size(self) -> float:
        """About how many characters the places of a row take."""
        numbers: int = sum(places[0].size for _, places in self._shared[: self.moving])
        return numbers * 4 * 4 / 3

    def scripts(self, moment: int) -> Iterator[tuple[str, bytes]]:
        """What must be there for a moment, and was not for those before it: names "number/row", and float32 [n, 2]."""
        for number, (run, places) in enumerate(self._shared):
            if number >= self.moving:
                rows = [] if moment else [0]
            else:
                before = max((shot.rows[run] for shot in self._shots[:moment]), default=-1)
                rows = [row for row in self.rows[run] if before < row <= self._shots[moment].rows[run]]
            for row in rows:
                yield f"{number}/{row}", places[row].astype("<f4").tobytes()

    def data(self) -> dict[str, Any]:
        """What the script needs of all panels."""
        views = {part.run: part.view for part in self._parts}
        return {
            "rows": self.rows,
            "still": self.moving,
            "classes": [_classes(views[run]) for run in sorted(views)],
            "looks": LOOKS,
        }

    def panel(self, place: int) -> dict[str, Any]:
        """What it needs of one."""
        part, plane = self._parts[place], self._planes[place]
        assert isinstance(part.view, PointsView)
        field, particles, followed = plane.field, plane.particles, plane.followed
        said: dict[str, Any] = {
            "reach": plane.reach,
            "sides": [side / min(PLANE_SIZE) for side in PLANE_SIZE[::-1]],
            "decimals": max(_DIGITS - 1 - math.floor(math.log10(plane.reach)), 0),
            "sign": part.panel.sign if part.panel.name == "x0" else "x_t",
            "data": None if plane.data is None else self._number(plane.data[None]),
            "density": plane.density is not None,
            "field": None,
            "particles": None,
            "followed": None,
        }
        if field is not None:
            columns, rows = _grid(field)
            said["field"] = {"columns": columns, "rows": rows, "inks": field.inks}
        if particles is not None:
            said["particles"] = {
                "track": self._number(particles.places, part.run),
                "ink": particles.ink,
                "trail": particles.trail,
                "fading": particles.fading,
                "lines": particles.lines,
            }
        if followed is not None:
            said["followed"] = {
                "track": self._number(followed.places, part.run),
                "ink": followed.ink,
                "from": None if followed.from_places is None else self._number(followed.from_places, part.run),
                "from_ink": followed.from_ink,
                "particle": followed.particle,
            }
        elif (track := self._number(part.view.points.samples, part.run)) is not None:
            # Only while one points at a particle: where it is in this field, or this density.
            said["followed"] = {"track": track, "ink": "noise", "from": None, "particle": None}
        return said


def _moving(plane: Plane) -> Iterator[Values]:
    if plane.particles is not None:
        yield plane.particles.places
    if plane.followed is not None:
        yield plane.followed.places
        if plane.followed.from_places is not None:
            yield plane.followed.from_places


def _same(first: Values, second: Values) -> bool:
    return first is second or (first.shape == second.shape and np.array_equal(first, second))


def _classes(view: Any) -> list[str]:
    """The class of each particle; none if all are made for all data."""
    return [as_words(label) for label in view.run.info.labels] if isinstance(view, PointsView) else []
