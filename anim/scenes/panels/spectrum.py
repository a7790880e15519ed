"""The power spectra of x_t and x̂0, and the noise in x_t: where in frequency the image appears.

Noise has the same power at every frequency, and images have most of theirs at low ones. So the image comes out of the
noise from coarse to fine: Rissanen, Heinonen & Solin 2022, "Generative modelling with inverse heat dissipation";
Dieleman 2024, "Diffusion is spectral autoregression". Samples that explode are at unit variance, as in their pictures,
and so is their noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import OutputError
from ...runs.noising import mixture_at, rescaled
from ...runs.quantities import GUESS, SAMPLE, Quantity
from ...runs.spectra import FEWEST_PIXELS, radial_power
from ...runs.trajectory import Trajectory
from ..phrases import Caption, Phrase, Words
from ..plots import Axis, Line, Plot, Values
from ..samples import from_black_to_white, on_grids, shown_values
from ..views import View
from .plotted import SAMPLE_LABEL, Wording, guess_label

__all__ = ["captions", "check", "closing", "plot", "sheet_words"]

_WORDING = Wording("spectrum")
_FAINTEST = 1e-2
"""The least power on the axis, as a part of the finest in the last sample: early guesses can have almost none."""


def plot(view: View) -> Plot:
    """Both spectra and the noise at each row, averaged over images and channels, with black at −1 and white at 1.

    Raises:
        OutputError: the images are too small, or their layout is not known.
        TrajectoryError: a row is damaged.
    """
    check(view.run)
    rows = len(view.run.x)
    sample, guess = (_spectra(view, quantity) for quantity in (SAMPLE, GUESS))
    noise = np.array([noise_power(view.run, row) for row in range(rows)])
    frequencies = np.arange(1, sample.shape[1] + 1.0)
    low, high = _limits(sample, guess)
    return Plot(
        Axis(1, float(frequencies[-1]), _frequency_labels(view), log=True),
        Axis(low, high, ((Words("power"),),), log=True),
        rows,
        lines=(
            Line(
                frequencies, np.repeat(noise[:, None], len(frequencies), 1), "noise", label=(Words("noise", "noise"),)
            ),
            Line(frequencies, guess, "signal", label=guess_label(view)),
            Line(frequencies, sample, "strong", label=SAMPLE_LABEL),
        ),
        shared=frozenset({"x", "y"}),
    )


def check(run: Trajectory) -> None:
    """Check that the run has a spectrum.

    Raises:
        OutputError: its values are not on a grid, or on too small a one.
    """
    axes = run.axes
    if not {"height", "width"} <= set(axes):
        raise OutputError(
            f"a spectrum needs rows and columns, and the run's latents have the axes {', '.join(map(str, axes))}; "
            "leave out spectrum"
        )
    height, width = (run.x.shape[1 + axes.index(axis)] for axis in ("height", "width"))
    if min(height, width) < FEWEST_PIXELS:
        raise OutputError(
            f"a spectrum needs at least {FEWEST_PIXELS}×{FEWEST_PIXELS} values, and the run has {height}×{width}; "
            "leave out spectrum"
        )


def noise_power(run: Trajectory, row: int) -> float:
    """The variance b² of the noise in the sample of a row, in the units of its spectrum."""
    if row == run.steps and run.finished:
        return 0.0
    black, white = run.info.value_range
    mixture = mixture_at(run, row)
    noise = mixture.noise * 2 / (white - black)
    return (noise / np.hypot(mixture.signal, noise) if rescaled(run) else noise) ** 2


def captions(view: View) -> Sequence[Caption]:
    """Captions that say what power is plotted."""
    return _WORDING.running(
        view,
        "power at each spatial frequency, averaged over images and directions",
        "power at each spatial frequency",
        "power by frequency",
    )


def closing(view: View) -> Sequence[Caption]:
    """Captions for the last sample."""
    last = "finished image" if view.run.finished else "last sample"
    return _WORDING.closing(view, f"power of the {last} at each spatial frequency", f"of the {last}", last)


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    return _WORDING.beside_sheet(view, "power by", "frequency")


def _spectra(view: View, quantity: Quantity) -> Values:
    """[rows, frequencies]"""
    shown = (from_black_to_white(view.run, shown_values(view, quantity, row)) for row in range(len(view.run.x)))
    return np.stack([radial_power(on_grids(view, values)) for values in shown])


def _frequency_labels(view: View) -> tuple[Phrase, ...]:
    side = "image" if view.size[0] == view.size[1] else "shorter side"
    return (Words(f"cycles per {side}"),), (Words("cycles"),)


def _limits(sample: Values, guess: Values) -> tuple[float, float]:
    """From the faintest to the strongest power of the run."""
    high = max(sample.max(), guess.max())
    last = sample[-1].min()
    low = max(min(sample.min(), guess.min()), _FAINTEST * last, 1e-12 * high)
    return (low / 1.5, high * 1.5) if high > 0 else (0.1, 10.0)
