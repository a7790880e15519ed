"""How often each value occurs in x_t and x̂0, with the density of pure noise behind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...runs.noising import rescaled
from ...runs.quantities import GUESS, SAMPLE, Quantity
from ..phrases import Caption, Maths, Words
from ..plots import Axis, Line, Plot, Values
from ..samples import from_black_to_white, shown_values
from ..views import View
from .plotted import SAMPLE_LABEL, Wording, guess_label

__all__ = ["captions", "closing", "plot", "sheet_words"]

_WORDING = Wording("histogram")
BIN = 0.2
"""The width of a bin. Bins are centred on multiples of it, so that black, grey and white are each within one."""
_BINS = 256
_LEAST_LIMIT = 3.0
_OUTSIDE = 3e-3
"""The part of the values at any row that may be outside of the axis; of a normal distribution, that is beyond 3."""


def plot(view: View) -> Plot:
    """Both histograms at each row, over all images and channels.

    Raises:
        TrajectoryError: a row is damaged.
    """
    sample, guess = (_densities(view, quantity) for quantity in (SAMPLE, GUESS))
    half = _half_of_bins_shown(sample, guess)
    limit = (half + 0.5) * BIN
    middle = _BINS // 2
    edges = np.repeat((np.arange(-half, half + 2) - 0.5) * BIN, 2)[1:-1]
    normal = np.linspace(-limit, limit, 10 * half)
    density = np.exp(-(normal**2) / 2) / np.sqrt(2 * np.pi)
    stairs = [np.repeat(each[:, middle - half : middle + half + 1], 2, axis=1) for each in (sample, guess)]
    top = max(density.max(), *(each.max() for each in stairs))
    return Plot(
        Axis(-limit, limit, _value_labels(view)),
        Axis(0, 1.05 * top, ((Words("density"),),), ticks=()),
        len(view.run.x),
        lines=(
            Line(normal, density, "noise", "behind"),
            Line(edges, stairs[0], "strong", filled=True),
            Line(edges, stairs[1], "signal"),
        ),
        key=(SAMPLE_LABEL, guess_label(view), (Maths(r"\mathcal{N}(0,1)", "noise"),)),
        shared=frozenset({"x", "y"}),
    )


def histogram(values: NDArray[np.floating]) -> Values:
    """The density of values in each bin: [256], bin i around (i − 128)·`BIN`; the first and the last have the rest.

    The sum of all densities times the width of a bin is 1.
    """
    middle = _BINS // 2
    near = np.clip(values, -middle * BIN, middle * BIN)
    bins = np.minimum(np.rint(near / BIN) + middle, _BINS - 1).astype(np.uint8)
    return np.bincount(bins.ravel(), minlength=_BINS) / (values.size * BIN)


def captions(view: View) -> Sequence[Caption]:
    """Captions that say whose values are counted."""
    return _WORDING.running(view, f"how often each value occurs, {_over(view)}", "how often each value occurs")


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last sample."""
    last = "finished image" if view.run.finished else "last sample"
    return _WORDING.closing(view, f"how often each value occurs in the {last}", f"of the {last}", last)


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    return _WORDING.beside_sheet(view, "how often", "a value", "occurs")


def _over(view: View) -> str:
    return "over all channels" if view.count == 1 else "over all images and channels"


def _value_labels(view: View) -> tuple[tuple[Words, ...], ...]:
    if view.run.info.space == "latent":
        return (Words("value of the latents"),), (Words("value"),)
    black, white = _black_and_white(view)
    ends = f"value: {black:g} black, {white:g} white".replace("-", "−")
    return (Words(ends),), (Words("pixel value"),), (Words("value"),)


def _densities(view: View, quantity: Quantity) -> Values:
    """[rows, 256]"""
    shown = (shown_values(view, quantity, row) for row in range(len(view.run.x)))
    black, white = _black_and_white(view)
    if (black, white) != view.run.info.value_range:
        shown = (from_black_to_white(view.run, values) for values in shown)
    return np.stack(list(map(histogram, shown)))


def _black_and_white(view: View) -> tuple[float, float]:
    """Black and white on the axis, where noise of pure samples is N(0, 1): at unit variance these are −1 and 1."""
    return (-1.0, 1.0) if rescaled(view.run) else view.run.info.value_range


def _half_of_bins_shown(*densities: Values) -> int:
    """How many bins are shown on either side of the one in the middle: the same at all rows."""
    middle = _BINS // 2
    most = middle - 2  # The bins with the rest are never shown.
    for half in range(round(_LEAST_LIMIT / BIN), most):
        shown = min((each[:, middle - half : middle + half + 1].sum(1) * BIN).min() for each in densities)
        if shown >= 1 - _OUTSIDE:
            return half
    return most
