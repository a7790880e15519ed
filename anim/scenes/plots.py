"""Plots, described without their appearance: axes, lines that stand still or move, trails, and a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .phrases import Ink, Phrase

Values = NDArray[np.float64]
Weight = Literal["main", "single", "behind"]
"""How much a line matters: ``main`` carries the message, ``single`` is one of many, ``behind`` is for comparison."""


@dataclass(frozen=True)
class Axis:
    """One direction of a plot; its limits stay the same for the whole run.

    Raises:
        ValueError: the limits are not two different numbers in order, or a logarithm has none.
    """

    low: float
    high: float
    labels: tuple[Phrase, ...] = ()
    """What it measures, the best wording first; the first that fits is used."""
    log: bool = False
    whole: bool = False
    """Whether there are only whole numbers."""
    ticks: tuple[tuple[float, str], ...] | None = None
    """Positions and their texts; None for a few round numbers, and an empty tuple for none."""

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high) or (self.log and self.low <= 0):
            raise ValueError(f"an axis cannot go from {self.low} to {self.high}{' in decades' * self.log}")

    def fractions(self, values: Values) -> Values:
        """Positions of values along the axis, 0 at its start and 1 at its end; NaN where a logarithm has none."""
        low, high = self.low, self.high
        if self.log:
            values = np.log(np.where(values > 0, values, np.nan))
            low, high = np.log(low), np.log(high)
        return np.asarray((values - low) / (high - low))


@dataclass(frozen=True, eq=False)
class Line:
    """A line through points."""

    x: Values
    """[points], or [rows, points] if it moves; left out where NaN."""
    y: Values
    """Likewise."""
    ink: Ink
    weight: Weight = "main"
    label: Phrase = ()
    """Set where the line ends on the right."""
    filled: bool = False
    """Whether the area down to the axis has a tint of its colour."""

    @property
    def moves(self) -> bool:
        """Whether it changes from row to row."""
        return self.x.ndim > 1 or self.y.ndim > 1

    def at(self, row: int) -> tuple[Values, Values]:
        """Its points at a row: x and y, both [points]."""
        x, y = (values[row] if values.ndim > 1 else values for values in (self.x, self.y))
        return x, y


@dataclass(frozen=True, eq=False)
class Trail:
    """A point that moves, and the line of where it has been."""

    x: Values
    """[rows]: a point for each row."""
    y: Values
    """[rows]"""
    ink: Ink
    weight: Weight = "main"
    label: Phrase = ()
    """Set to the right of the point."""
    below: bool = False
    """Whether the label is below the point; else it is above."""
    ahead: bool = False
    """Whether to show, dimmed, where it will go."""
    dot: bool = True
    """Whether the point is drawn; else only its line is."""
    start: Phrase = ()
    """A label beside its first point, to tell several trails apart."""


@dataclass(frozen=True, eq=False)
class Plot:
    """What a plot shows, at every row of a run.

    Rows count from 0; the row after the steps is the last sample.
    """

    x: Axis
    y: Axis
    rows: int
    """The number of rows of the run; all that moves has as many."""
    lines: tuple[Line, ...] = ()
    """From back to front."""
    trails: tuple[Trail, ...] = ()
    """In front of the lines."""
    links: tuple[tuple[Trail, Trail], ...] = ()
    """Pairs of moving points that are joined by a thin line."""
    cursor: Values | None = None
    """[rows]: the position of a vertical line."""
    key: tuple[Phrase, ...] = ()
    """Labels in a row above the plot, in the inks of lines that cannot be labelled where they end."""
    shared: frozenset[Literal["x", "y"]] = frozenset()
    """The axes whose limits must be the same in the plots of several runs, so that they can be compared."""
    equal: bool = False
    """Whether a unit is equally long on both axes; the limits grow to fill the plot."""


def with_shared_limits(plots: Sequence[Plot]) -> list[Plot]:
    """Plots of several runs, with the widest limits of all on the axes that they share."""
    x, y = _widest([plot.x for plot in plots]), _widest([plot.y for plot in plots])
    return [
        replace(
            plot,
            x=replace(plot.x, low=x[0], high=x[1]) if "x" in plot.shared else plot.x,
            y=replace(plot.y, low=y[0], high=y[1]) if "y" in plot.shared else plot.y,
        )
        for plot in plots
    ]


def _widest(axes: Sequence[Axis]) -> tuple[float, float]:
    return min(axis.low for axis in axes), max(axis.high for axis in axes)
