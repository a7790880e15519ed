"""What guidance adds to x̂0 of points in the plane, as an arrow at each place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import OutputError
from ...runs.plane import PointsRun
from ...runs.trajectory import Trajectory
from ..phrases import Caption, Maths, Phrase
from ..plane import Field, Plane, Vectors
from ..plots import Values
from ..views import PointsView, View
from .guidance import scale_words
from .of_points import class_of_field, demand_model, ending, points_of, running

__all__ = ["captions", "check", "closing", "plane", "sheet_words"]

_TITLE: Phrase = (Maths(r"w\,(\hat{x}_0^{c} - \hat{x}_0^{\emptyset})"),)


def check(run: Trajectory) -> None:
    """Check that a run of points is guided.

    Raises:
        OutputError: it is not, or does not keep its data.
    """
    demand_model(run, "guidance")
    if not PointsRun(run).is_guided:
        raise OutputError("the run has no guidance; record points with classes, --label and --guidance, such as 3")


def plane(view: View) -> Plane:
    """Arrows over the data."""
    check(view.run)
    seen = points_of(view)
    data = None if seen.points.data is None else seen.points.data.places
    return Plane(seen.reach, len(seen.points.samples), data=data, field=Field(_added(seen), ("strong",), measured=True))


def _added(view: PointsView) -> Vectors:
    points = view.points

    def vectors(places: Values, row: int) -> Values | None:
        if not points.has_noise(row):
            return None
        guided, plain = (points.guess_at(places, row, how, view.marked) for how in ("guided", "unconditional"))
        return np.asarray((guided - plain)[None])

    return vectors


def captions(view: View) -> Sequence[Caption]:
    """Captions that say what lengths mean."""
    towards = f"towards {class_of_field(points_of(view))}, {scale_words(view.run)}"
    said = (
        f"what guidance {towards}, adds at each place, relative lengths",
        f"{towards}, relative lengths",
        "relative lengths",
    )
    # Never the timestep alone: nobody would know what the arrows are.
    shorter = running(view, (), ("guidance, relative lengths", "guidance"))
    bare = [Caption((), caption.words) for caption in shorter if caption.words]
    worded = [caption for caption in (*shorter, *bare) if caption.words.startswith("guidance")]
    return [*running(view, _TITLE, said)[:-2], *worded, Caption(())]


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last sample."""
    return ending(view, _TITLE, ("no noise left, nothing is added", "no noise left"))


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    return ["what", "guidance", "adds", scale_words(view.run)]
