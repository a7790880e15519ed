"""Plots as SVG in the theme's colours: what stands still is written once, and what moves for every moment.

An area is 1000 units wide. It is stretched to its place, so strokes keep their width and points are strokes of no
length; only where both axes have one unit, it keeps its shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from ..drawing.axes import ticks_of
from ..scenes.phrases import Maths, Phrase, Words
from ..scenes.plots import Axis, Line, Plot, Trail, Values
from .changing import Changing
from .markup import Markup, element

WIDE = 1000
_TICKS = 4
_POWER = re.compile(r"(3 \\cdot )?10\^\{(-?\d+)\}")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plot_of(plot: Plot, run: int, changing: Changing, about: str) -> Markup:
    """A plot of a run.

    Args:
        plot: what it shows.
        run: which one.
        changing: takes what moves.
        about: what it shows, in words, for those who do not see it.
    """
    return _Drawn(plot, run, changing).markup(about)


class _Drawn:
    def __init__(self, plot: Plot, run: int, changing: Changing) -> None:
        self._plot, self._run, self._changing = plot, run, changing
        across, up = plot.x.high - plot.x.low, plot.y.high - plot.y.low
        self._tall = round(WIDE * up / across) if plot.equal else WIDE

    def markup(self, about: str) -> Markup:
        plot = self._plot
        labels = [*(line.label for line in reversed(plot.lines)), *(trail.label for trail in plot.trails), *plot.key]
        key = [element("span", self._changing.phrase(label)) for label in labels if label]
        head = [element("span", self._label(plot.y), class_="axis"), element("span", *key, class_="key")]
        area = element(
            "svg",
            *self._shapes(),
            class_="area",
            viewBox=f"0 0 {WIDE} {self._tall}",
            preserveAspectRatio="xMidYMid meet" if plot.equal else "none",
            role="img",
            aria_label=about,
        )
        return element(
            "div",
            element("div", *head, class_="head"),
            element("svg", *self._numbers(plot.y, upright=True), class_="up", aria_hidden="true"),
            area,
            element("svg", *self._numbers(plot.x, upright=False), class_="across", aria_hidden="true"),
            element("span", self._label(plot.x), class_="axis below"),
            class_="plot",
        )

    def _label(self, axis: Axis) -> Markup:
        return self._changing.phrase(axis.labels[0]) if axis.labels else Markup("")

    def _numbers(self, axis: Axis, *, upright: bool) -> Iterator[Markup]:
        for value, text in ticks_of(axis, _TICKS):
            place = 100 * float(axis.fractions(np.array(value)))
            if -1 <= place <= 101:
                x, y = ("100%", f"{100 - place:.1f}%") if upright else (f"{place:.1f}%", "50%")
                yield element("text", _plain(text), x=x, y=y)

    def _shapes(self) -> Iterator[Markup]:
        yield from self._rules()
        for line in self._plot.lines:
            yield from self._line(line)
        if self._plot.cursor is not None:
            places = self._columns(self._plot.cursor)
            yield self._changing.shape(
                "path",
                [f"M{_short(places[rows[self._run]])} 0V{self._tall}" for rows in self._moments],
                class_="cursor",
            )
        for first, second in self._plot.links:
            yield self._link(first, second)
        for trail in self._plot.trails:
            yield from self._trail(trail)

    @property
    def _moments(self) -> Sequence[tuple[int, ...]]:
        return self._changing.moments

    def _rules(self) -> Iterator[Markup]:
        for value, _ in ticks_of(self._plot.y, _TICKS):
            yield element("path", d=f"M0 {_short(self._rows(np.array(value)))}H{WIDE}", class_="rule")
        if not self._plot.equal:
            yield element("path", d=f"M0 {self._tall}H{WIDE}", class_="base")

    def _line(self, line: Line) -> Iterator[Markup]:
        rows = [rows[self._run] for rows in self._moments] if line.moves else [0]
        ways = [self._way(*line.at(row)) for row in rows]
        for look, closed in ((f"tint {line.ink}", True), (f"line {line.weight} {line.ink}", False)):
            if closed and not line.filled:
                continue
            shapes = [_closed(way, self._tall) if closed else way for way in ways]
            if line.moves:
                yield self._changing.shape("path", shapes, class_=look)
            else:
                yield element("path", d=shapes[0], class_=look)

    def _trail(self, trail: Trail) -> Iterator[Markup]:
        """The way so far: the script joins its points up to the row of the moment."""
        points = " ".join(self._points(trail.x, trail.y))
        look = f"{trail.weight} {trail.ink}"
        if trail.ahead:
            yield element("path", d=f"M{points}", class_=f"line ahead {look}")
        yield element("path", data_trail=points, data_run=self._run, class_=f"line {look}")
        if trail.start:
            x, y = float(self._columns(trail.x[:1])[0]), float(self._rows(trail.y[:1])[0])
            yield element("text", _plain(trail.start), x=_short(x), y=_short(y), class_="start")
        if trail.dot:
            yield element("path", data_dot=points, data_run=self._run, class_=f"dot {look}")

    def _link(self, first: Trail, second: Trail) -> Markup:
        ends = zip(self._points(first.x, first.y), self._points(second.x, second.y), strict=True)
        ways = [f"M{start}L{end}" for start, end in ends]
        return self._changing.shape("path", [ways[rows[self._run]] for rows in self._moments], class_="link")

    def _points(self, x: Values, y: Values) -> list[str]:
        return [f"{_short(across)},{_short(up)}" for across, up in zip(self._columns(x), self._rows(y), strict=True)]

    def _way(self, x: Values, y: Values) -> str:
        """A line through points, with a gap where one is NaN."""
        way, joined_on = [], False
        for across, up in zip(self._columns(x), self._rows(y), strict=True):
            seen = bool(np.isfinite(across) and np.isfinite(up))
            if seen:
                way.append(f"{'L' if joined_on else 'M'}{_short(across)} {_short(up)}")
            joined_on = seen
        return "".join(way)

    def _columns(self, values: Values) -> Values:
        return self._plot.x.fractions(values) * WIDE

    def _rows(self, values: Values) -> Values:
        return (1 - self._plot.y.fractions(values)) * self._tall


def _closed(way: str, base: int) -> str:
    """A line, closed along the axis below it."""
    start = re.match(r"M(\S+)", way)
    return f"{way}V{base}H{start[1]}Z" if start else ""


def _short(value: float | Values) -> str:
    """A coordinate to a whole unit, or NaN as one that is far outside."""
    number = float(value)
    return f"{min(max(number, -WIDE), 3 * WIDE):.0f}" if np.isfinite(number) else f"{-WIDE}"


def _plain(phrase: Phrase) -> str:
    """A number on an axis, or a label of words, without markup."""
    said = []
    for piece in phrase:
        match piece:
            case Words(text):
                said.append(text)
            case Maths(tex) if found := _POWER.fullmatch(tex):
                said.append(f"{'3·' if found[1] else ''}10{found[2].translate(_RAISED)}")
            case other:
                raise ValueError(f"{other} cannot be written on an axis")
    return " ".join(said)
