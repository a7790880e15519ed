"""q(x_t) of points in the plane: how dense the noisy data are, a mixture of Gaussians."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.noising import rescaled
from ...runs.trajectory import Trajectory
from ..phrases import Caption, Maths, Phrase
from ..plane import Plane
from ..views import View
from .of_points import demand_data, ending, points_of, running
from .wordings import UNIT_VARIANCE

__all__ = ["captions", "check", "closing", "plane", "sheet_words"]

_TITLE: Phrase = (Maths(r"\sqrt{q(x_t)}"),)
_SHORT_TITLE: Phrase = (Maths(r"\sqrt{q}"),)
_SAID = (
    "the root of the density of the noisy data, strongest at its highest",
    "the root of the density of the noisy data",
    "root of the density",
)


def check(run: Trajectory) -> None:
    """Check that a run keeps its data.

    Raises:
        OutputError: it does not.
    """
    demand_data(run)


def plane(view: View) -> Plane:
    """The density alone."""
    check(view.run)
    seen = points_of(view)
    return Plane(seen.reach, len(seen.points.samples), density=seen.points.density)


def captions(view: View) -> Sequence[Caption]:
    """Captions that say how density is shown."""
    *longer, nothing = running(view, _TITLE, _SAID)
    shorter = [Caption(_SHORT_TITLE, UNIT_VARIANCE)] if rescaled(view.run) else []
    return [*longer, *shorter, nothing]


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last sample."""
    if view.run.is_forward or (view.run.complete and not view.run.finished):
        return captions(view) if view.run.is_forward else ending(view, _TITLE, _SAID)
    return ending(view, (Maths(r"\sqrt{q(x_0)}"),), ("the root of the density of the data", _SAID[-1]))


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    return ["square", "root of", "density", *(["at unit", "variance"] if rescaled(view.run) else [])]
