"""The paths of all particles of points in the plane so far, through the recorded samples."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.noising import rescaled
from ..phrases import Caption, Phrase, Words
from ..plane import Followed, Particles, Plane
from ..views import View
from .of_points import ending, outside_readouts, points_of, running

__all__ = ["captions", "closing", "plane", "sheet_words"]

_TITLE: Phrase = (Words("paths", "strong"),)


def plane(view: View) -> Plane:
    """Lines from the first sample to the present one."""
    seen = points_of(view)
    samples = seen.points.samples
    return Plane(
        seen.reach,
        len(samples),
        particles=Particles(samples, "noise", len(samples) - 1, fading=False),
        followed=Followed(samples[:, seen.marked], "noise"),
    )


def captions(view: View) -> Sequence[Caption]:
    """Captions that say whose paths they are."""
    seen = points_of(view)
    said = ("of all particles from step to step, so far", "of all particles so far", "so far")
    return running(view, _TITLE, said, *outside_readouts(seen, seen.points.samples))


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last sample."""
    seen = points_of(view)
    if view.run.is_forward:
        return captions(view)
    said = ("of all particles, from noise to data", "of all particles")
    return ending(view, _TITLE, said, *outside_readouts(seen, seen.points.samples))


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    return ["of all", "particles", *(["at unit", "variance"] if rescaled(view.run) else [])]
