"""The paths of x_t and x̂0 in the plane in which the run's samples vary most (`diffanim.runs.principal`).

The samples of exploding runs are at unit variance, as in their pictures: otherwise one would only see noise shrink.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...runs.principal import principal_paths
from ..phrases import Caption, Ink, Phrase, Words
from ..plots import Axis, Plot, Trail, Values
from ..views import View
from .plotted import SAMPLE_LABEL, Wording, guess_label

__all__ = ["captions", "closing", "plot", "sheet_words"]

_WORDING = Wording("path", of_clips=True)
_SAID = (
    "in the plane of the first two principal components of all samples",
    "in the plane of the first two principal components",
    "first two principal components",
    "principal components",
)
_SPARE = 0.06
"""Room around the paths, as a part of their extent."""


def plot(view: View) -> Plot:
    """The trails of all images up to each row, x_t joined to its x̂0.

    Raises:
        TrajectoryError: a row is damaged.
    """
    paths = principal_paths(view.run)
    both = np.concatenate([paths.x, paths.x0]).reshape(-1, 2)
    low, high = both.min(0), both.max(0)
    spare = _SPARE * max((high - low).max(), 1e-6)
    count = paths.x.shape[1]
    samples = [_trail(paths.x[:, image], "strong", SAMPLE_LABEL, image, count) for image in range(count)]
    guesses = [_trail(paths.x0[:, image], "signal", guess_label(view), image, count) for image in range(count)]
    explained = percent(paths.explained)
    return Plot(
        Axis(
            low[0] - spare,
            high[0] + spare,
            tuple((Words(explained + of),) for of in (" of the variance", " variance", "")),
            ticks=(),
        ),
        Axis(low[1] - spare, high[1] + spare, ticks=()),
        len(view.run.x),
        trails=(*guesses, *samples),
        links=tuple(zip(samples, guesses, strict=True)),
        key=(SAMPLE_LABEL, guess_label(view)) if count > 1 else (),
        equal=True,
    )


def _trail(path: Values, ink: Ink, label: Phrase, image: int, count: int) -> Trail:
    """The trail of one of the images, [rows, 2]. Only one is labelled; where there are several, x_t is numbered."""
    x, y = path.T
    if count == 1:
        return Trail(x, y, ink, label=label, below=ink == "signal")
    return Trail(x, y, ink, "single", start=(Words(f"{image + 1}"),) if ink == "strong" else ())


def percent(part: float) -> str:
    """A part of a whole, rounded, but never to all of it."""
    rounded = f"{100 * part:.0f} %"
    return rounded if rounded != "100 %" or part > 1 - 1e-6 else f"{min(100 * part, 99.9):.1f} %"


def captions(view: View) -> Sequence[Caption]:
    """Captions that say which plane it is."""
    return _WORDING.running(view, *_SAID)


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last sample."""
    return _WORDING.closing(view, *_SAID)


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    return _WORDING.beside_sheet(view, "principal", "plane")
