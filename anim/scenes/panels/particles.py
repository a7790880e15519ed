"""x_t of points in the plane: the particles, where they come from, and where the flow sends each place."""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.noising import levels, notation_of, rescaled
from ...runs.plane import Condition
from ...runs.points import Points
from ..phrases import Caption, Maths, Number, Phrase
from ..plane import Field, Followed, Particles, Plane
from ..readouts import noise_left_readout, noise_readout
from ..views import View
from .of_points import (
    class_of_field,
    class_of_particles,
    ending,
    flow_of,
    outside_readouts,
    points_of,
    running,
    trail_of,
)

__all__ = ["captions", "closing", "plane", "sheet_words"]


def plane(view: View) -> Plane:
    """Particles with short trails over the flow, which is the one that the sampler follows."""
    seen = points_of(view)
    samples = seen.points.samples
    condition: Condition = "guided" if seen.points.is_guided else "conditional"
    return Plane(
        seen.reach,
        len(samples),
        field=Field(flow_of(seen, condition), ("quiet",)) if _has_field(view) else None,
        particles=Particles(samples, "noise", trail_of(view)),
        followed=Followed(samples, seen.marked, "noise"),
    )


def _has_field(view: View) -> bool:
    return not view.run.is_forward and Points.of(view.run) is not None


def captions(view: View) -> Sequence[Caption]:
    """Captions that spell the sample out as a mixture of data and noise, then shorter ones."""
    seen = points_of(view)
    outside = outside_readouts(seen, seen.points.samples)
    said, run = _words(view), view.run
    if rescaled(run):
        title: Phrase = (Maths(rf"x_t\,/\,{notation_of(run).scale}"),)
        return running(view, title, said, *outside, noise_readout(run), of_samples=False)  # The title says it.
    signal, noise = levels(run)
    mixture = (
        Maths("x_t ="),
        Number.of(signal, 2, "signal"),
        Maths("x_0 +"),
        Number.of(noise, 2, "noise"),
        Maths(r"\epsilon"),
    )
    *spelled, _title, _nothing = running(view, mixture, said, *outside)
    if class_of_field(seen) != class_of_particles(seen):  # Whose flow it is matters more than the mixture.
        spelled = [caption for caption in spelled if caption.words]
    return [*spelled, *running(view, (Maths("x_t"),), said, *outside)]


def _words(view: View) -> tuple[str, ...]:
    if view.run.is_forward:
        return ("the points with noise added", "with noise")
    if not _has_field(view):
        return ("the particles, and where they come from", "particles")
    seen = points_of(view)
    named = class_of_field(seen)
    if named != class_of_particles(seen):  # The flow is that of the marked one.
        how = f"flow guided to {named}" if seen.points.is_guided else f"flow for {named}"
        return (f"particles, and where the {how} sends each place", f"particles and {how}", how)
    how = f", guided to {named}" if seen.points.is_guided else f" for {named}" if named else ""
    said = (f"particles, and where the flow sends each place{how}", f"particles and flow{how}")
    return (*said, how.removeprefix(", ").strip()) if how else said


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last sample."""
    seen, run = points_of(view), view.run
    if run.is_forward:
        return captions(view)
    outside = outside_readouts(seen, seen.points.samples)
    if run.complete and not run.finished:
        said = ("noise is left in the last sample", "noise left")
        return ending(view, (Maths("x_t"),), said, *outside, noise_left_readout(run))
    return ending(view, (Maths("x_0"),), ("where the particles end", "the end"), *outside)


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    flow = ["and flow"] if _has_field(view) else []
    seen = points_of(view)
    most = max(seen.outside(seen.points.samples))
    outside = [f"up to {most}", "outside"] if most else []
    return ["particles", *flow, *(["at unit", "variance"] if rescaled(view.run) else []), *outside]
