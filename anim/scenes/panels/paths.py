"""The paths of all particles of points in the plane so far, through the recorded samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...runs.noising import rescaled
from ..phrases import Caption, Phrase, Words
from ..plane import Followed, Particles, Plane
from ..views import PointsView, View
from .of_points import ending, outside_readouts, points_of, running

__all__ = ["captions", "closing", "plane", "sheet_words"]

_FULL = 0.4
"""The part of the panel that lines may cover, so that single ones can be followed."""
_THICK = 1 / 220
"""About how thick lines are, as a part of half the panel's height."""
_FEWEST = 12


def lines_in(view: PointsView) -> int:
    """How many particles have their paths drawn: all, or only as many as leave room between them."""
    samples = view.points.samples / view.reach
    lengths = np.hypot(*np.moveaxis(np.diff(samples, axis=0), -1, 0)).sum(0)
    area = 4 * view.size[1] / view.size[0]
    room = _FULL * area / (_THICK * max(float(lengths.mean()), 1e-9))
    particles: int = samples.shape[1]
    return min(max(int(room), _FEWEST), particles)


def plane(view: View) -> Plane:
    """Lines from the first sample to the present one."""
    seen = points_of(view)
    samples = seen.points.samples
    return Plane(
        seen.reach,
        len(samples),
        particles=Particles(samples, "noise", len(samples) - 1, fading=False, lines=lines_in(seen)),
        followed=Followed(samples, seen.marked, "noise"),
    )


def captions(view: View) -> Sequence[Caption]:
    """Captions that say whose paths they are."""
    seen = points_of(view)
    said = ("of the particles, from step to step so far", "from step to step", "so far")
    return _shortened(view, running(view, _title(seen), said, *outside_readouts(seen, seen.points.samples)))


def _shortened(view: View, captions: Sequence[Caption]) -> Sequence[Caption]:
    """Where there is no room for more, still how many are drawn of all."""
    seen = points_of(view)
    drawn, there = lines_in(seen), seen.points.samples.shape[1]
    *longer, nothing = captions
    return captions if drawn == there else [*longer, Caption((Words(f"{drawn} of {there}", "strong"),)), nothing]


def _title(view: PointsView) -> Phrase:
    """It says how many there are where not all are drawn."""
    drawn, there = lines_in(view), view.points.samples.shape[1]
    return (Words("paths" if drawn == there else f"{drawn} of {there} paths", "strong"),)


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last sample."""
    seen = points_of(view)
    if view.run.is_forward:
        return captions(view)
    said = ("of the particles, from noise to data", "from noise to data")
    return _shortened(view, ending(view, _title(seen), said, *outside_readouts(seen, seen.points.samples)))


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    seen = points_of(view)
    drawn, there = lines_in(seen), seen.points.samples.shape[1]
    some = [] if drawn == there else [f"{drawn} of", f"{there}"]
    return [*some, "paths", *(["at unit", "variance"] if rescaled(view.run) else [])]
