"""How far x̂0 is from the finished image, step by step; or, if there is one, from a reference run's x̂0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import OutputError
from ...runs.distances import rms_distances
from ...runs.trajectory import Trajectory
from ..phrases import Caption, Phrase, Words
from ..plots import Axis, Plot, Trail, Values
from ..reference import distances as to_reference
from ..views import View
from .plotted import Wording

__all__ = ["captions", "check", "closing", "plot", "sheet_words"]

_WORDING = Wording("error", of_samples=False, of_clips=True)
_SAID = (
    "distance of the model’s guess to the finished image",
    "distance to the finished image",
    "to the finished image",
)


_OF_REFERENCE = (
    "distance of the model’s guess to the reference run’s",
    "distance to the reference’s guess",
    "to the reference",
)


def plot(view: View) -> Plot:
    """A line for each image and a strong one for their mean, dimmed ahead of the cursor.

    Against a reference run, there is one line for all images.

    Raises:
        OutputError: the run has no finished image.
        SettingsError: a reference run has other images.
        TrajectoryError: a row is damaged.
    """
    if view.reference is None:
        check(view.run)
        distances = to_finished_image(view.run)
    else:
        distances = to_reference(view.run, view.reference)[: view.run.steps, None]
    rows = len(view.run.x)
    # Nothing is predicted from the last sample; there the plot still shows the last step.
    shown = distances[np.minimum(np.arange(rows), view.run.steps - 1)]
    steps = np.minimum(np.arange(1.0, rows + 1), view.run.steps)
    return Plot(
        Axis(1, max(view.run.steps, 2), ((Words("step"),),), whole=True),
        Axis(0, 1.05 * max(float(distances.max()), 0.01), _labels(shown.shape[1])),
        rows,
        trails=(
            *(Trail(steps, one, "signal", "single", ahead=True, dot=False) for one in shown.T if len(shown.T) > 1),
            Trail(steps, shown.mean(1), "signal", ahead=True),
        ),
        cursor=steps,
        shared=frozenset({"y"}),
    )


def _labels(images: int) -> tuple[Phrase, ...]:
    words = ["RMS distance, bold: mean"] if images > 1 else []
    return tuple((Words(said),) for said in (*words, "RMS distance", "distance"))


def to_finished_image(run: Trajectory) -> Values:
    """The RMS distance of each x̂0 to the finished image: [steps, B], with black at −1 and white at 1.

    Raises:
        TrajectoryError: a row is damaged.
    """
    black, white = run.info.value_range
    return rms_distances(run.x0, run.x[-1]) * 2 / (white - black)


def check(run: Trajectory) -> None:
    """Check that the run has a finished image.

    Raises:
        OutputError: it has none.
    """
    if run.is_forward:
        raise OutputError("error is of a model’s guesses, and in a forward process nothing is guessed; leave out error")
    if not run.finished:
        lacking = "has noise in its last sample" if run.complete else f"stopped after {run.steps} of {run.total} steps"
        raise OutputError(f"error is the distance to the finished image, but the run {lacking}; leave out error")


def captions(view: View) -> Sequence[Caption]:
    """Captions that say what distance is plotted."""
    return _WORDING.running(view, *_said(view))


def closing(view: View) -> Sequence[Caption]:
    """The same captions, as the last step is still shown."""
    return _WORDING.closing(view, *_said(view))


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    to = ("finished", "image") if view.reference is None else ("reference",)
    return _WORDING.beside_sheet(view, "distance", "to the", *to)


def _said(view: View) -> Sequence[str]:
    return _SAID if view.reference is None else _OF_REFERENCE
