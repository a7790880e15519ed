"""x̂0 of points in the plane: what each particle is expected to become, over the data."""

from __future__ import annotations

from collections.abc import Sequence

from ..phrases import Caption, Maths, Phrase
from ..plane import Followed, Particles, Plane
from ..views import View
from .of_points import class_of_field, class_of_particles, ending, outside_readouts, points_of, running
from .wordings import clipping_words, short_lines

__all__ = ["captions", "closing", "plane", "sheet_words"]


def plane(view: View) -> Plane:
    """x̂0 of all particles; the marked one is joined to the x_t that its x̂0 follows from."""
    seen = points_of(view)
    points = seen.points
    return Plane(
        seen.reach,
        len(points.samples),
        data=None if points.data is None else points.data.places,
        particles=Particles(points.guesses, "signal"),
        followed=Followed(points.guesses, seen.marked, "signal", points.samples),
    )


def captions(view: View) -> Sequence[Caption]:
    """Captions that say what x̂0 is an expectation over."""
    seen = points_of(view)
    if view.run.is_forward:
        return ending(view, (Maths("x_0"),), ("the points that noise is added to", "the points"))
    outside = outside_readouts(seen, seen.points.guesses)
    clipped = clipping_words(view.run.info)
    said = [", ".join(filter(None, (phrase, clipped))) for phrase in (*_words(view), "")]
    spelled = [] if _title(view) == _SYMBOL else running(view, _title(view), said, *outside, of_samples=False)[:-2]
    return [*spelled, *running(view, _SYMBOL, said, *outside, of_samples=False)]


_SYMBOL: Phrase = (Maths(r"\hat{x}_0"),)


def _is_mean(view: View) -> bool:
    return view.run.info.ideal is not None and not points_of(view).points.is_guided and not view.run.info.clipped


def _title(view: View) -> Phrase:
    return (Maths(r"\hat{x}_0 = \mathrm{E}[x_0\,|\,x_t]"),) if _is_mean(view) else _SYMBOL


def _words(view: View) -> tuple[str, ...]:
    seen = points_of(view)
    if view.run.info.ideal is None:
        return ("the model’s guess of where each ends", "the model’s guess")
    named = class_of_particles(seen)
    if seen.points.is_guided:
        each = "each " if named != class_of_field(seen) else ""
        return (f"the mean of the data, {each}guided to {named}", f"{each}guided to {named}")
    of = f" in {named}" if named else ""
    return (f"the mean of the data{of} that each could come from", f"the mean of possible data{of}", "mean of data")


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last guess if noise is left; else nothing is left to guess."""
    if view.run.is_forward:
        return captions(view)
    seen = points_of(view)
    outside = outside_readouts(seen, seen.points.guesses)
    if view.run.complete and not view.run.finished:
        return ending(view, _SYMBOL, ("the last guess, over the data", "last guess"), *outside)
    said = ("no noise left, nothing to guess", "nothing left to guess", "no noise left")
    return ending(view, (Maths(r"\hat{x}_0 = x_0"),), said, *outside)


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    if view.run.is_forward:
        return ["the", "points"]
    return ["mean of", "the data", *short_lines(clipping_words(view.run.info))]
