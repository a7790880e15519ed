"""ε̂: the noise that the model finds in a sample: what remains of the sample without the model's guess.

In a forward process it is ε, the noise that is added, which stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...runs.quantities import FOUND_NOISE as QUANTITY
from ..phrases import Caption, Maths
from ..readouts import last_time_readout, time_readout
from ..views import View
from .wordings import clipping_words, field_words, scale_of, short_lines, timed

__all__ = ["QUANTITY", "captions", "closing", "sheet_words"]

_TITLE = (Maths(r"\hat{\epsilon}"),)


def captions(view: View) -> Sequence[Caption]:
    """Captions that say what it is, and which of its values are drawn."""
    if view.run.is_forward:
        return _added_noise(view)
    phrases = _words(view, "the noise that the model finds, drawn from", "the noise found, from", "noise,")
    return timed(_TITLE, phrases, time_readout(view.run))


def closing(view: View) -> Sequence[Caption]:
    """Captions for the noise of the last step, as nothing is predicted after it."""
    if view.run.is_forward:
        return _added_noise(view)
    return timed(_TITLE, _words(view, "the last noise found, drawn from", "last noise,"), last_time_readout(view.run))


def sheet_words(view: View) -> Sequence[str]:
    """Short lines for the side of a sheet."""
    clipped = short_lines("of clipped x̂0") if view.run.info.clipped else []
    kind = "added" if view.run.is_forward else "found"
    return ["noise", kind, *clipped, *short_lines(view.field_colours), scale_of(QUANTITY, view)]


def _added_noise(view: View) -> Sequence[Caption]:
    phrases = _words(view, "the noise that is added, drawn from", "noise, from")
    return [*(Caption((Maths(r"\epsilon"),), phrase) for phrase in phrases), Caption(())]


def _words(view: View, *said: str) -> list[str]:
    clipping = clipping_words(view.run.info)
    return field_words(view, QUANTITY, *said, also=f"x̂0 {clipping}" if clipping else "", briefly="clipped")
