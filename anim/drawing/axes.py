"""Where things are in a plot: its area, the ticks and numbers on its axes, and the text around it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..scenes.phrases import Maths, Phrase, Words
from ..scenes.plots import Axis, Plot, Values
from .layout import SMALLEST_TEXT
from .lines import Placed, Sizes, place, width

_TEXT = 0.85
"""The size of the text, in em of the picture's."""
_MOST_TICKS = 4
_LOW = 11
"""A plot lower than this, in its own em, has the name of an axis in the row of its numbers."""
_NARROW = 12
"""A plot narrower than this, in its own em, has all labels above it."""
_TINY = 6
"""A plot narrower or lower than this, in its own em, has no text, which would leave no room for anything else."""


@dataclass(frozen=True)
class Area:
    """The rectangle inside a plot's axes, in pixels from the top left, and what surrounds it."""

    plot: Plot
    """With the limits and the labels that suit this size."""
    sizes: Sizes
    left: int
    top: int
    right: int
    bottom: int
    across_ticks: tuple[tuple[int, Phrase], ...] = ()
    """Columns and their numbers."""
    up_ticks: tuple[tuple[int, Phrase], ...] = ()
    """Rows and their numbers."""

    def columns(self, values: Values) -> Values:
        """Columns of values of x, with fractions of pixels, as lines are smooth."""
        return self.left + self.plot.x.fractions(values) * (self.right - self.left)

    def rows(self, values: Values) -> Values:
        """Rows of values of y."""
        return self.bottom - self.plot.y.fractions(values) * (self.bottom - self.top)


def sizes_in(em: int) -> Sizes:
    """The type sizes in a plot, where ``em`` is the size of the picture's text."""
    size = max(_TEXT * em, min(em, SMALLEST_TEXT))
    return Sizes(size, 1.2 * size)


def area_of(plot: Plot, wide: int, tall: int, em: int) -> Area:
    """Lay out a plot.

    From top to bottom there are: a row with the name of the upright axis and the key; the area; the numbers below it;
    the name of the axis below it, in the row of the numbers if the plot is low.

    Args:
        plot: what to draw.
        wide: of the picture, in pixels.
        tall: of the picture, in pixels.
        em: the size of the picture's text, in pixels.
    """
    sizes = sizes_in(em)
    if min(wide, tall) < _TINY * sizes.words:
        plot = _without_text(plot)
    elif wide < _NARROW * sizes.words:
        above = tuple(line.label for line in reversed(plot.lines) if line.label)
        plot = replace(plot, key=(*above, *plot.key), lines=tuple(replace(line, label=()) for line in plot.lines))
    spare = round(0.3 * em)
    top = _row(sizes) + round(0.35 * sizes.words) if plot.y.labels or plot.key else spare
    bottom = tall - max(_below(plot, tall, sizes), spare)
    numbers = ticks_of(plot.y, (bottom - top) / (2 * sizes.words))
    left = max((width(text, sizes) + round(0.4 * sizes.words) for _, text in numbers), default=spare)
    labels = [*(line.label for line in plot.lines), *(trail.label for trail in plot.trails)]
    right = wide - max((width(label, sizes) + round(0.5 * sizes.words) for label in labels if label), default=spare)
    if any(trail.start for trail in plot.trails):
        room = round(0.9 * sizes.words)
        left, right, top, bottom = left + room, right - room, top + room, bottom - room
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    if plot.equal:
        plot = _squared(plot, right - left, bottom - top)
    area = Area(plot, sizes, left, top, right, bottom)
    below = ticks_of(plot.x, (right - left) / (2.5 * sizes.words))
    return replace(
        area,
        across_ticks=tuple((round(float(area.columns(np.array(value)))), text) for value, text in below),
        up_ticks=tuple((round(float(area.rows(np.array(value)))), text) for value, text in numbers),
    )


def texts_around(area: Area, wide: int, tall: int) -> Iterator[Placed]:
    """The names of the axes, their numbers and the key, in a picture of this size."""
    plot, sizes = area.plot, area.sizes
    yield from _head(plot, wide, sizes)
    for y, text in area.up_ticks:
        x = area.left - round(0.4 * sizes.words) - width(text, sizes)
        yield from place(text, sizes, x, y + round(0.36 * sizes.words))
    last = tall - round(0.3 * sizes.words)
    shared = _shares_row(plot, tall, sizes)
    name = next((label for label in plot.x.labels if width(label, sizes) <= (wide // 2 if shared else wide)), ())
    yield from place(name, sizes, wide - width(name, sizes), last)
    free, end = 0, wide - (width(name, sizes) + round(0.5 * sizes.words) if shared and name else 0)
    for x, text in area.across_ticks:
        needed = width(text, sizes)
        start = min(max(x - needed // 2, 0), wide - needed)
        if start >= free and start + needed <= end:
            yield from place(text, sizes, start, last - (_row(sizes) if plot.x.labels and not shared else 0))
            free = start + needed + round(0.4 * sizes.words)


def apart(wanted: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Positions in order, close to those wanted, but at least a distance from each other and within limits."""
    places: list[float] = []
    for position in wanted:
        places.append(max(position, places[-1] + distance if places else low))
    for index in reversed(range(len(places))):
        places[index] = min(places[index], high)
        high = places[index] - distance
    return places


def ticks_of(axis: Axis, room: float) -> list[tuple[float, Phrase]]:
    """A few round numbers along an axis, and how each is written; ``room`` is how many there is space for."""
    if axis.ticks is not None:
        return [(value, (Words(text),)) for value, text in axis.ticks]
    most = max(min(int(room), _MOST_TICKS), 2)
    return _decades(axis, most) if axis.log else _steps(axis, most)


def _without_text(plot: Plot) -> Plot:
    return replace(
        plot,
        x=replace(plot.x, labels=(), ticks=()),
        y=replace(plot.y, labels=(), ticks=()),
        lines=tuple(replace(line, label=()) for line in plot.lines),
        trails=tuple(replace(trail, label=(), start=()) for trail in plot.trails),
        key=(),
    )


def _row(sizes: Sizes) -> int:
    """The height of a row of text."""
    return round(1.35 * sizes.words)


def _shares_row(plot: Plot, tall: int, sizes: Sizes) -> bool:
    """Whether the name of the axis below is in the row of its numbers."""
    return tall < _LOW * sizes.words and plot.x.ticks != ()


def _below(plot: Plot, tall: int, sizes: Sizes) -> int:
    """The height of the text below the area."""
    numbered = plot.x.ticks != ()
    rows = numbered + bool(plot.x.labels and not _shares_row(plot, tall, sizes))
    return rows * _row(sizes) + round(0.45 * sizes.words) * numbered


def _head(plot: Plot, wide: int, sizes: Sizes) -> Iterator[Placed]:
    """On the left the name of the upright axis, on the right the key."""
    baseline, space = round(0.95 * sizes.words), round(0.7 * sizes.words)
    used = sum(width(label, sizes) + space for label in plot.key)
    x = wide - used + space
    for label in plot.key:
        yield from place(label, sizes, x, baseline)
        x += width(label, sizes) + space
    name = next((label for label in plot.y.labels if width(label, sizes) <= wide - used), ())
    yield from place(name, sizes, 0, baseline)


def _squared(plot: Plot, wide: int, tall: int) -> Plot:
    """The plot with wider limits on one axis, so that a unit has as many pixels on either."""
    unit = max((plot.x.high - plot.x.low) / wide, (plot.y.high - plot.y.low) / tall)

    def grown(axis: Axis, pixels: int) -> Axis:
        middle = (axis.low + axis.high) / 2
        return replace(axis, low=middle - unit * pixels / 2, high=middle + unit * pixels / 2)

    return replace(plot, x=grown(plot.x, wide), y=grown(plot.y, tall))


def _steps(axis: Axis, most: int) -> list[tuple[float, Phrase]]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((axis.high - axis.low) / most))
    if axis.whole:
        power = max(power, 1.0)
    for step in (power, 2 * power, 5 * power, 10 * power):
        first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
        if last - first < most:
            break
    decimals = max(-math.floor(math.log10(step) + 1e-9), 0)
    texts = {n: f"{n * step:.{decimals}f}".replace("-", "−") if n else "0" for n in range(first, last + 1)}
    return [(n * step, (Words(text),)) for n, text in texts.items()]


def _decades(axis: Axis, most: int) -> list[tuple[float, Phrase]]:
    """Powers of ten, or some of them; where there are few, also three times each."""
    first, last = math.floor(math.log10(axis.low)), math.floor(math.log10(axis.high) + 1e-9)
    powers = range(first, last + 1)
    seen = [10.0**power for power in powers if axis.low <= 10.0**power * (1 + 1e-9)]
    finer = [value for power in powers for value in (10.0**power, 3 * 10.0**power) if axis.low <= value <= axis.high]
    if len(finer) <= most:
        seen = finer
    stride = -(-len(seen) // most)
    chosen = [value for value in seen if stride == 1 or round(math.log10(value)) % stride == 0]
    plain = all(0.1 <= value <= 1000 for value in chosen)
    return [(value, (Words(f"{value:g}"),) if plain or value == 1 else (_power(value),)) for value in chosen]


def _power(value: float) -> Maths:
    """A power of ten, or three times one."""
    power = math.floor(math.log10(value) + 1e-9)
    times = r"3 \cdot " if value > 2 * 10.0**power else ""
    return Maths(f"{times}10^{{{power}}}", "quiet")
