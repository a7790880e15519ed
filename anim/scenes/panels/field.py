"""The probability flow of points in the plane: the direction in which each place moves as noise falls.

With guidance there are three at each place: without the class, with it, and guided. They add up: the guided one is the
first plus w times the way from the first to the second.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.trajectory import Trajectory
from ..phrases import Caption, Phrase, Words
from ..plane import Field, Plane
from ..views import View
from .guidance import scale_words
from .of_points import class_of_field, demand_model, ending, flow_of, points_of, running
from .wordings import clipping_words

__all__ = ["captions", "check", "closing", "plane", "sheet_words"]

_TITLE: Phrase = (Words("flow", "strong"),)


def check(run: Trajectory) -> None:
    """Check that a run keeps its data.

    Raises:
        OutputError: it does not, or is a forward process.
    """
    demand_model(run, "field")


def plane(view: View) -> Plane:
    """Arrows alone."""
    check(view.run)
    seen = points_of(view)
    rows = len(seen.points.samples)
    data = None if seen.points.data is None else seen.points.data.places
    if not seen.points.is_guided:
        return Plane(seen.reach, rows, data=data, field=Field(flow_of(seen, "conditional"), ("strong",)))
    named = class_of_field(seen)
    return Plane(
        seen.reach,
        rows,
        data=data,
        field=Field(flow_of(seen, "guided", "conditional", "unconditional"), ("strong", "signal", "noise")),
        key=(
            (Words("all data", "noise"),),
            (Words(named, "signal"),),
            (Words(f"guided {scale_words(view.run)}", "strong"),),
        ),
    )


def captions(view: View) -> Sequence[Caption]:
    """Captions that say what arrows are."""
    seen = points_of(view)
    clipping = clipping_words(view.run.info)
    clipped = f", x̂0 {clipping}" if clipping else ""
    if seen.points.is_guided:
        said: tuple[str, ...] = (
            f"three arrows at each place, their lengths relative to each other{clipped}",
            f"three arrows at each place{clipped}",
            f"three at each place{clipped}",
        )
    else:
        named = class_of_field(seen)
        of = f" for {named}" if named else ""
        said = (
            f"the direction in which each place is sent{of}, over the data{clipped}",
            f"where each place is sent{of}{clipped}",
            f"directions{of}{clipped}",
        )
    return running(view, _TITLE, said)


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last sample: without noise nothing moves."""
    if view.run.finished or not view.run.complete:
        return ending(view, _TITLE, ("no noise left, nothing is sent anywhere", "no noise left"))
    return ending(view, _TITLE, ("the flow at the last sample", "last flow"))


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    if points_of(view).points.is_guided:
        return ["all data", "class,", "guided"]
    return ["where", "places", "are sent"]
