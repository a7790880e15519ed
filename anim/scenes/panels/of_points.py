"""Wording and parts that the panels of points in the plane share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import OutputError
from ...runs.noising import rescaled
from ...runs.plane import Condition
from ...runs.points import Points
from ...runs.trajectory import Trajectory
from ..phrases import Caption, Number, Phrase, Words
from ..plane import Vectors
from ..plots import Values
from ..readouts import last_time_readout, time_readout
from ..views import PointsView, View
from .wordings import UNIT_VARIANCE

_TRAIL = 0.075
"""How far short trails go back, as a part of the steps."""


def points_of(view: View) -> PointsView:
    """The view, which is of points."""
    assert isinstance(view, PointsView)
    return view


def trail_of(view: View) -> int:
    """Through how many rows short trails go back."""
    return max(round(_TRAIL * view.run.steps), 1)


def demand_data(run: Trajectory) -> None:
    """Check that a recording keeps the data behind its field and its density.

    Raises:
        OutputError: it does not.
    """
    if Points.of(run) is None:
        raise OutputError(
            "the run does not keep the points that its model knows, from which field and density follow; record "
            "--model points:spiral, or diffanim.ideal_denoiser of at most 10000 points"
        )


def demand_model(run: Trajectory, panel: str) -> None:
    """Check that it is a run of a model, which has a field.

    Raises:
        OutputError: it is a forward process.
    """
    demand_data(run)
    if run.is_forward:
        raise OutputError(f"{panel} is about what a model finds, which a forward process does not have")


def flow_of(view: PointsView, *conditions: Condition) -> Vectors:
    """The probability flow as for the marked particle, under each condition."""
    points = view.points

    def vectors(places: Values, row: int) -> Values | None:
        if not points.has_noise(row):
            return None
        return np.stack([points.flow_at(places, row, condition, view.marked) for condition in conditions])

    return vectors


def outside_readouts(view: PointsView, places: Values) -> tuple[Phrase, ...]:
    """How many of places [rows, n, 2] are outside of the axes at each row; nothing if none ever is."""
    counts = view.outside(places)
    if not any(counts):
        return ()
    return ((Number.of(counts, 0, "quiet", upright=True), Words("outside")),)


def running(
    view: View, title: Phrase, said: Sequence[str], *readouts: Phrase, of_samples: bool = True
) -> list[Caption]:
    """Captions with the timestep. What was done to samples, and what is cut off, is left out last.

    Args:
        view: of the run.
        title: of the panel.
        said: what it shows, the longest wording first.
        *readouts: before the timestep, the most important first.
        of_samples: whether it shows x_t, which is at unit variance if the run's samples explode.
    """
    scaled = UNIT_VARIANCE if of_samples and rescaled(view.run) else ""
    phrases = [", ".join(filter(None, (phrase, scaled))) for phrase in (*said, "")]
    time = time_readout(view.run)
    *longer, last = dict.fromkeys(phrases)
    captions = [Caption(title, phrase, (*readouts, time)) for phrase in longer]
    if not readouts:
        return [*captions, Caption(title, last, (time,)), Caption(title, last), Caption(())]
    # What is cut off matters more than the timestep, which the panel beside it has.
    fewer = [readouts[:count] for count in range(len(readouts), 0, -1)]
    bare = [Caption(title, phrase, told) for told in fewer for phrase in (*longer[-2:], last)]
    return [*captions, *bare, Caption(title), Caption(())]


def ending(view: View, title: Phrase, said: Sequence[str], *readouts: Phrase) -> list[Caption]:
    """Captions for a finished last sample, which has no timestep; for another one with that of the last step."""
    at = () if view.run.finished or view.run.is_forward else (last_time_readout(view.run),)
    captions = [Caption(title, phrase, (*readouts, *at)) for phrase in (*said, "")]
    return [*captions, Caption(title), Caption(())]


def class_of_field(view: PointsView) -> str:
    """The name of the class that arrows are for; empty if they are for all data."""
    return "" if view.points.class_of(view.marked) is None else view.run.info.labels[view.marked]


def class_of_particles(view: PointsView) -> str:
    """The same of particles: "its class" if they are for several."""
    labels = set(view.run.info.labels[: view.points.samples.shape[1]])
    return "its class" if len(labels) > 1 and class_of_field(view) else class_of_field(view)
