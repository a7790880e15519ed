"""Panels of points in the plane, described without their appearance: particles, paths, arrows and a density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .phrases import Ink, Phrase
from .plots import Values

Vectors = Callable[[Values, int], Values | None]
"""From places [n, 2] and a row to vectors there, [k, n, 2], one for each ink of a field; None if there is nothing."""
Density = Callable[[Values, Values, int], Values]
"""From the edges of a grid's columns [w + 1] and rows [h + 1] and a row of the run to a density, [h, w]."""


@dataclass(frozen=True, eq=False)
class Particles:
    """Points that move."""

    places: Values
    """[rows, n, 2]"""
    ink: Ink
    trail: int = 0
    """Through how many rows before the shown one their lines go back."""
    fading: bool = True
    """Whether lines fade towards where they come from."""
    lines: int | None = None
    """How many of the particles have lines, the first ones; None for all."""


@dataclass(frozen=True, eq=False)
class Followed:
    """One particle, marked, with its path so far."""

    places: Values
    """[rows, n, 2], of all particles."""
    particle: int
    """Its index."""
    ink: Ink
    from_places: Values | None = None
    """[rows, n, 2]: what each follows from, a ring joined to it by a thin line; None if nothing."""
    from_ink: Ink = "noise"

    @property
    def path(self) -> Values:
        """[rows, 2]"""
        return self.places[:, self.particle]

    @property
    def from_(self) -> Values | None:
        """[rows, 2]: what it follows from."""
        return None if self.from_places is None else self.from_places[:, self.particle]


@dataclass(frozen=True, eq=False)
class Field:
    """Arrows on a grid."""

    vectors: Vectors
    inks: tuple[Ink, ...]
    """Of the arrows at each place, from back to front."""
    measured: bool = False
    """Whether lengths are in proportion, up to the longest; else arrows show directions, and are short only where
    there is nearly none."""


@dataclass(frozen=True, eq=False)
class Plane:
    """What a panel of points shows, at every row of a run. The origin is in its middle, and units are square."""

    reach: float
    """From the middle to the nearest edge."""
    rows: int
    """The number of rows of the run; all that moves has as many."""
    data: Values | None = None
    """[m, 2]: points that stand still, faint."""
    density: Density | None = None
    """Behind everything: the denser, the further from the background."""
    field: Field | None = None
    particles: Particles | None = None
    followed: Followed | None = None
    key: tuple[Phrase, ...] = ()
    """Labels in the inks of what they name, in a corner."""
