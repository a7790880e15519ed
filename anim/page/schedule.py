"""The schedule below the panels: curves of a run's signal and noise, or a line of dots for each of several runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..runs.noising import levels
from ..runs.trajectory import Trajectory
from ..scenes.curves import Curve, curves
from ..scenes.levels import on_one_axis
from ..scenes.phrases import Maths, Number, Phrase, Words
from ..scenes.readouts import decimals_of_noise
from ..scenes.scene import Comparison, Scene
from ..scenes.titles import legends_of_dots
from .changing import Changing
from .markup import Markup, element

_WIDE, _TALL = 1000, 100
_PADDING = 8
"""Above and below the curves, so that dots on them are whole."""
_NOWHERE = "M-99 0"
_MIDDLE = 10
"""Of a line of dots, which is twice as tall."""


def schedule_of(scene: Scene, changing: Changing) -> Markup:
    """The schedule, with its legend."""
    if scene.comparison is None:
        return _curves(scene.lead.run, changing)
    return _dots(scene, scene.comparison, changing)


def _curves(run: Trajectory, changing: Changing) -> Markup:
    shown, points = curves(run), max(run.total, run.steps)
    rows = [rows[0] for rows in changing.moments]
    across = [f"{_WIDE * row / points:.1f}" for row in range(len(run.x))]
    still = [
        element("path", d=f"{_line(curve, points)}V{_TALL}H0Z", class_="under")
        for curve in shown
        if curve.ink == "noise"
    ]
    lines = [element("path", d=_line(curve, points), class_=f"line main {curve.ink}") for curve in shown]
    dots = [
        changing.shape("path", [f"M{across[row]} {_height(curve, row)}h0" for row in rows], class_=f"dot {curve.ink}")
        for curve in shown
    ]
    here = [_WIDE * row / points for row in rows]
    cursor = changing.shape("path", [f"M{x:.1f} 0V{_TALL}" for x in here], class_="cursor")
    base = element("path", d=f"M0 {_TALL}H{_WIDE}", class_="base")
    return element(
        "figure",
        _drawing([*still, base], lines, [cursor, *dots], here, _TALL, changing),
        element("figcaption", *(_key(curve, run, changing) for curve in shown)),
        class_="schedule",
    )


def _line(curve: Curve, points: int) -> str:
    return "M" + " ".join(f"{_WIDE * row / points:.1f},{_height(curve, row)}" for row in range(len(curve.heights)))


def _height(curve: Curve, row: int) -> str:
    return f"{_PADDING + (1 - float(curve.heights[row])) * (_TALL - 2 * _PADDING):.1f}"


def _key(curve: Curve, run: Trajectory, changing: Changing) -> Markup:
    """A curve's symbol and word, and its value at the moment."""
    signal, noise = levels(run)
    values, decimals = (signal, 2) if curve.ink == "signal" else (noise, decimals_of_noise(run))
    if run.finished:
        values = np.append(values, 1.0 if curve.ink == "signal" else 0.0)
    elif run.end is not None and not run.is_forward:
        values = np.append(values, run.end.signal if curve.ink == "signal" else run.end.noise)
    phrase: Phrase = (
        Maths(curve.symbol, curve.ink),
        Number.of(values, decimals, curve.ink, upright=True),
        Words(curve.word, curve.ink),
    )
    return element("span", changing.phrase(phrase))


def _dots(scene: Scene, told: Comparison, changing: Changing) -> Markup:
    runs = [view.run for view in scene.views]
    places = [_WIDE * (0.01 + 0.98 * positions) for positions in on_one_axis(runs)]
    foremost = [_foremost(places, rows) for rows in changing.moments] if told.align == "noise" else None
    lines = []
    for run, (label, own) in enumerate(zip(told.labels, places, strict=True)):
        lines.append(element("span", label[0], class_="label"))
        lines.append(_line_of_dots(own, [rows[run] for rows in changing.moments], foremost, changing))
    legend = "; ".join(filter(None, (*told.reference[:1], legends_of_dots(runs)[0])))
    return element(
        "figure", element("div", *lines, class_="lines"), element("figcaption", legend), class_="schedule dots"
    )


def _foremost(places: Sequence[NDArray[np.float64]], rows: Sequence[int]) -> float | None:
    """How far the foremost run is; None once all are at their end."""
    reached = [float(own[row]) for own, row in zip(places, rows, strict=True) if row < len(own)]
    return max(reached, default=None)


def _line_of_dots(
    own: NDArray[np.float64], rows: Sequence[int], foremost: Sequence[float | None] | None, changing: Changing
) -> Markup:
    """A run's steps, those made so far lit; the last one larger, and a line through all runs where the foremost is."""
    falls = own[-1] < own[0]  # From images to noise: what is done lies on the right.
    done = [(0.0 if falls else _WIDE) if row >= len(own) else float(own[row]) for row in rows]
    here = [f"M{own[row]:.1f} {_MIDDLE}h0" if row < len(own) else _NOWHERE for row in rows]
    front = [changing.shape("path", here, class_="dot here strong")]
    if foremost is not None:
        lines = [_NOWHERE if x is None else f"M{x:.1f} 0V{2 * _MIDDLE}" for x in foremost]
        front.insert(0, changing.shape("path", lines, class_="cursor"))
    dots = element("path", d="".join(f"M{x:.1f} {_MIDDLE}h0" for x in own), class_="dot noise")
    rule = element("path", d=f"M0 {_MIDDLE}H{_WIDE}", class_="base")
    return _drawing([rule], [dots], front, done, 2 * _MIDDLE, changing, falls=falls)


def _drawing(
    back: Sequence[Markup],
    dimmed: Sequence[Markup],
    front: Sequence[Markup],
    done: Sequence[float],
    tall: int,
    changing: Changing,
    *,
    falls: bool = False,
) -> Markup:
    """A drawing that is stretched to its place.

    Args:
        back: what is behind all.
        dimmed: what is dimmed where it lies ahead.
        front: what is in front of all.
        done: how far it is at each moment.
        tall: its height, where it is 1000 wide.
        changing: takes what moves.
        falls: whether it goes from right to left.
    """
    name = f"done-{changing.shapes}"
    size = {"height": tall} if not falls else {"height": tall, "width": _WIDE}
    edge = changing.shape("rect", [f"{x:.1f}" for x in done], "x" if falls else "width", **size)
    return element(
        "svg",
        element("clipPath", edge, id=name),
        *back,
        element("g", *dimmed, class_="ahead"),
        element("g", *dimmed, clip_path=f"url(#{name})"),
        *front,
        viewBox=f"0 0 {_WIDE} {tall}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
